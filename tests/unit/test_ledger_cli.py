"""What a person decides about the ledger: asked for, kept with name and reason, and shown; never beside a running gateway."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from footfall_gateway import cli
from footfall_gateway.ingest import Batch
from footfall_gateway.ledger import Ledger

DAY_MS = 86_400_000


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "footfall.toml"
    path.write_text(
        '[mqtt]\nhost = "127.0.0.1"\n[gateway]\ndata = "data"\n[[site]]\nid = "lab"\ntimezone = "UTC"\n'
    )
    return path


def today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def ledger_file(config: Path) -> Path:
    return config.parent / "data" / "ledger.sqlite"


@pytest.fixture
def holes(config: Path) -> Path:
    """A ledger in which 3-5 and 8 of one spool are missing, and nothing of another node."""
    now_ms = time.time_ns() // 1_000_000
    with Ledger.open(ledger_file(config)) as ledger:
        for seq, n in ((1, 2), (6, 2), (9, 1)):
            records = tuple((1000 * seq + i, "P", 0, 1, 400) for i in range(n))
            ledger.store([Batch("ff-1", "8f3a01c2", 1, seq, records)], now_ms=now_ms)
        ledger.store([Batch("ff-2", "00c0ffee", 1, 1, ((5, "P", 0, 1, 400),))], now_ms=now_ms)
    return config


@pytest.fixture
def footfall(capsys, monkeypatch):
    def footfall(*arguments: object, answer: str = "") -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr("click.termui.visible_prompt_func", lambda _text: answer)
        code = cli._status([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return code, captured.out, captured.err

    return footfall


def test_all_that_is_missing_is_given_up_and_status_says_by_whom_and_why(holes, footfall):
    assert footfall("status", "--config", holes)[0] == 1
    days = {today()}
    code, out, err = footfall(
        "ledger", "waive", "ff-1", "--why", "the board burnt down", "--who", "anna", "--config", holes, answer="y"
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "ff-1 spool 8f3a01c2: 3-5 (3 records)\nff-1 spool 8f3a01c2: 8-8 (1 records)\n" in out
    assert "spool 8f3a01c2 is now acknowledged up to 9" in out
    days.add(today())  # midnight may have come
    code, out, _ = footfall("status", "--config", holes)
    assert code == 0
    assert "MISSING" not in out
    assert "    gone for good: 4\n" in out
    assert any(f"  ff-1  3-5 given up by anna on {day}: the board burnt down\n" in out for day in days)
    with Ledger.open(ledger_file(holes)) as ledger:
        late = Batch("ff-1", "8f3a01c2", 1, 4, ((77, "P", 0, 1, 400),))
        ledger.store([late], now_ms=time.time_ns() // 1_000_000)  # it comes after all
        assert ledger.counters().records == 7
        assert [spool.lost for spool in ledger.spools()] == [3, 0]


def test_a_no_gives_up_nothing(holes, footfall):
    code, _, _ = footfall("ledger", "waive", "ff-1", "--why", "x", "--config", holes, answer="n")
    assert code != 0
    with Ledger.open(ledger_file(holes), read_only=True) as ledger:
        assert ledger.missing("ff-1") == 4
        assert ledger.waivers() == ()


def test_a_range_gives_up_no_more_than_it_says(holes, footfall):
    code, _, _ = footfall(
        "ledger", "waive", "ff-1", "--records", "3-4", "--why", "x", "--yes", "--config", holes
    )
    assert code == 0
    with Ledger.open(ledger_file(holes), read_only=True) as ledger:
        assert ledger.holes("ff-1", "8f3a01c2") == [(5, 5), (8, 8)]


def test_more_holes_than_are_shown_are_all_given_up(config, footfall):
    with Ledger.open(ledger_file(config)) as ledger:
        for seq in range(2, 102, 2):
            ledger.store([Batch("ff-1", "8f3a01c2", 1, seq, ((seq, "P", 0, 1, 400),))], now_ms=1)
    assert footfall("ledger", "waive", "ff-1", "--why", "x", "--yes", "--config", config)[0] == 0
    with Ledger.open(ledger_file(config), read_only=True) as ledger:
        assert ledger.missing("ff-1") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ff-3"], 1, 'the ledger has no records of node "ff-3"; it knows: ff-1, ff-2'),
        (["ff-2"], 1, "nothing is missing of node ff-2"),
        (["ff-1", "--spool", "x"], 1, 'node ff-1 has no spool "x"; it has: 8f3a01c2'),
        (["ff-1", "--records", "9-12"], 1, "9 to 12 is not a hole"),
        (["ff-1", "--records", "x"], 2, "expected a number or a range such as 147-156"),
        (["ff-1", "--records", "5-3"], 2, "expected the first number, then the last"),
        (["ff-1", "--who", " "], 2, "expected 1 to 200 characters on one line"),
    ],
)
def test_what_cannot_be_given_up_is_said_in_words(holes, footfall, arguments, code, words):
    done = footfall("ledger", "waive", *arguments, "--why", "x", "--yes", "--config", holes)
    assert done[0] == code
    assert words in done[2]


def test_a_reason_is_required(holes, footfall):
    code, _, err = footfall("ledger", "waive", "ff-1", "--yes", "--config", holes)
    assert code == 2
    assert "--why" in err


@pytest.mark.parametrize("command", [["waive", "ff-1"], ["trust-clock"]])
def test_nothing_is_decided_beside_a_running_gateway_or_without_a_ledger(holes, footfall, command):
    with Ledger.open(ledger_file(holes)):
        code, _, err = footfall("ledger", *command, "--why", "x", "--yes", "--config", holes)
        assert code == 1
        assert err.endswith("the gateway is running with it: stop it first (systemctl stop footfall)\n")
    ledger_file(holes).unlink()
    code, _, err = footfall("ledger", *command, "--why", "x", "--yes", "--config", holes)
    assert (code, err.count("\n")) == (1, 1)
    assert "it does not exist yet" in err
    assert not ledger_file(holes).exists()


def test_a_clock_that_was_ahead_is_trusted_again_when_a_person_says_so(holes, footfall):
    now_ms = time.time_ns() // 1_000_000
    code, _, err = footfall("ledger", "trust-clock", "--why", "x", "--yes", "--config", holes)
    assert (code, "has not gone back" in err) == (1, True)
    with Ledger.open(ledger_file(holes)) as ledger:
        ahead = Batch("ff-1", "8f3a01c2", 1, 10, ((99_000, "P", 0, 1, 400),))
        ledger.store([ahead], now_ms=now_ms + 3650 * DAY_MS)
        assert ledger.clock_gone_back(now_ms) == now_ms + 3650 * DAY_MS
    gone_back = "this machine's clock has gone back by 3650 d"
    assert gone_back in footfall("status", "--config", holes)[1]
    code, out, _ = footfall(
        "ledger", "trust-clock", "--who", "ben", "--why", "was 2035", "--yes", "--config", holes
    )
    assert (code, out.splitlines()[-1]) == (0, "the clock is trusted again")
    assert "clock has gone back" not in footfall("status", "--config", holes)[1]
    with closing(sqlite3.connect(ledger_file(holes))) as sql:
        [(who, why, was_ms)] = sql.execute("SELECT who, why, was_ms FROM clock_trust").fetchall()
        assert (who, why, was_ms) == ("ben", "was 2035", now_ms + 3650 * DAY_MS)
