"""From bytes to buckets: whatever is thrown in between, the good records count and nothing falls over."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from footfall_core import record
from footfall_gateway import ingest
from footfall_gateway.accounts import Accounts
from footfall_gateway.export import export_hours
from footfall_gateway.health import NodeWatch
from footfall_gateway.ingest import Batch, Refusal, receive
from footfall_gateway.ledger import Ledger
from footfall_gateway.link import Arrived, Inbox, Opened
from footfall_gateway.node_book import NodeBook
from footfall_gateway.node_messages import NodeState
from footfall_gateway.outbox import Outbox
from footfall_gateway.places import PASSERS_BY, Placement, Places, Site
from footfall_gateway.receiver import Receiver
from tests.unit.test_receiver import NotedLink

HOUR = 3_600_000
NINE = 1_780_045_200_000  # 2026-05-29 09:00 UTC
NOW = NINE + 5 * HOUR
PLACES = Places([Site("lab", "Lab", "Europe/Berlin")], [Placement("lab", "main", "ff-1", 0)])
TOPIC = "footfall/1/ff-1/records"


def frame(seq: int, *records: str, v: str = "1") -> bytes:
    return f'{{"v":{v},"spool":"8f3a01c2","boot":1,"seq":{seq},"r":[{",".join(records)}]}}'.encode()


def passage(seq: int) -> str:
    return f'[{seq * 1000},"P",0,1,400]'


CLOCK = f'[0,"C",{NINE},"gw"]'

# What comes between the good ones; where it has a number of its own (seq 3), it is a single bad record.
MALFORMED = [
    (ingest.NOT_JSON, TOPIC, b"garbage"),
    (ingest.NOT_JSON, TOPIC, frame(3, passage(3))[:-4]),
    (ingest.TOO_LARGE, TOPIC, b"x" * 100_000),
    (ingest.TOO_LARGE, TOPIC, frame(3, *["0"] * 51)),
    (ingest.BAD_BATCH, TOPIC, b"[]"),
    (ingest.BAD_BATCH, TOPIC, frame(-3, passage(3))),
    (ingest.UNKNOWN_VERSION, TOPIC, frame(3, passage(3), v="2")),
    (ingest.UNKNOWN_NODE, "footfall/1/ff-foreign/records", frame(3, passage(3))),
    (ingest.BAD_TOPIC, "footfall/1/FF_1/records", frame(3, passage(3))),
    (ingest.BAD_RECORD, TOPIC, frame(3, '["3000","P",0,1,400]')),
    (ingest.BAD_RECORD, TOPIC, frame(3, f'[{10**40},"P",0,1,400]')),
    (ingest.BAD_RECORD, TOPIC, frame(3, '[-3000,"P",0,1,400]')),
    (ingest.BAD_RECORD, TOPIC, frame(3, '[NaN,"P",0,1,400]')),
    (ingest.BAD_RECORD, TOPIC, frame(3, '[3000,"?",0,1,400]')),
    (ingest.BAD_CLOCK, TOPIC, frame(3, '[3000,"C",0,"ntp"]')),
    (ingest.BAD_CLOCK, TOPIC, frame(3, '[3000,"C",946684800000,"ntp"]')),
    (ingest.BAD_CLOCK, TOPIC, frame(3, f'[3000,"C",{NOW + HOUR},"ntp"]')),
    (ingest.CONFLICT, TOPIC, frame(2, '[2000,"P",0,-1,999]')),
]


@pytest.mark.parametrize(
    ("reason", "topic", "payload"), MALFORMED, ids=[f"{m[0]}-{n}" for n, m in enumerate(MALFORMED)]
)
def test_it_is_quarantined_with_its_reason_and_the_good_records_around_it_count(
    tmp_path: Path, reason: str, topic: str, payload: bytes
) -> None:
    arrived = [
        (TOPIC, frame(1, CLOCK, passage(2))),
        (topic, payload),
        (TOPIC, frame(4, passage(4), passage(5))),
    ]
    taken = [receive(*one, PLACES) for one in arrived]
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        acks = ledger.store(
            [one for one in taken if isinstance(one, Batch)],
            [one for one in taken if isinstance(one, Refusal)],
            now_ms=NOW,
        )
        assert ledger.counters().quarantined_by_reason == {reason: 1}
        (entry,) = ledger.quarantine()
        assert entry.reason == reason
        assert entry.detail
        accounts = Accounts(ledger, PLACES, publish=True)
        while accounts.work(NOW).more:
            pass
        (hour,) = accounts.hours()
        assert (hour.start_ms, hour.bucket.n_in, hour.bucket.n_out) == (NINE, 3, 0)
        bad_record_has_its_number = reason in (ingest.BAD_RECORD, ingest.BAD_CLOCK)
        assert [ack.seq for ack in acks] == [5 if bad_record_has_its_number else 2]
        assert {ack.node for ack in acks} == {"ff-1"}  # nothing is acknowledged to a node that nobody knows


def test_thousands_of_bent_messages_leave_a_sound_ledger_with_every_good_one_in_it(tmp_path: Path) -> None:
    rng = random.Random(8)
    good = [frame(1, CLOCK, *(passage(seq) for seq in range(2, 21)))]
    good += [
        frame(first, *(passage(seq) for seq in range(first, first + 20))) for first in range(21, 2001, 20)
    ]
    path = tmp_path / "ledger.sqlite3"
    expected = Counter[str]()
    with Ledger.open(path) as ledger:
        accounts = Accounts(ledger, PLACES, publish=True)
        for one in good:
            arrived = [one]
            for _ in range(60):
                bent = bytearray(rng.choice(good))
                for _ in range(rng.randrange(1, 3)):
                    at = rng.randrange(len(bent))
                    if rng.randrange(4):  # mostly what is still JSON
                        bent[at : at + 1] = rng.choice(b"0123456789").to_bytes()
                    else:
                        bent[at : at + rng.randrange(3)] = rng.choice(b'-.,"[]{}ePQ\\\x00\xff').to_bytes()
                # a digit more or less can make a good record of another number; such luck is not what is tested here
                arrived.append(bytes(bent).replace(b'"8f3a01c2"', b'"8f3a01c3"'))
            taken = [receive(TOPIC, payload, PLACES) for payload in arrived]
            refusals = [one for one in taken if isinstance(one, Refusal)]
            expected.update(one.reason for one in refusals)
            ledger.store([one for one in taken if isinstance(one, Batch)], refusals, now_ms=NOW)
            accounts.work(NOW)
        by_reason = ledger.counters().quarantined_by_reason
        assert {reason: by_reason[reason] for reason in expected} == expected
        assert {ingest.NOT_JSON, ingest.BAD_BATCH, ingest.BAD_RECORD, ingest.CONFLICT} <= by_reason.keys()
        (status,) = [one for one in ledger.spools() if one.spool == "8f3a01c2"]
        assert (status.contiguous, status.missing) == (2000, 0)
        with ledger.database.reading() as sql:
            query = "SELECT count(*), count(DISTINCT t_ms), min(kind), max(kind) FROM record WHERE spool_id = ? AND seq > 1"
            (spool_id,) = sql.execute("SELECT id FROM spool WHERE name = '8f3a01c2'").fetchone()
            assert sql.execute(query, (spool_id,)).fetchone() == (1999, 1999, "P", "P")
    Ledger.open(path).close()  # it passes its own check


# Every kind of message and record, mostly well-formed, with values from the edges

ODD = (
    None, True, -1, 0, 1, 3, 2**31, 2**42, 2**53, 2**63, 10**40, 1.5, float("nan"), "", "x", "\x1b[2J", "\ud800", "x" * 5000,
    [], {}, [[]], NINE, NOW + 10**9,
)  # fmt: skip
STATE_FIELDS = tuple(NodeState.__struct_fields__)
SEEDS = 4


def _odd_or(rng: random.Random, usual: object, odds: float = 0.1) -> object:
    return rng.choice(ODD) if rng.random() < odds else usual


def _record(rng: random.Random) -> object:
    kind = rng.choice(record.KINDS)
    t_ms = rng.choice((rng.randrange(10**8), record.MAX_T_MS))
    fields: list[object] = []
    for name, least, most in record.FIELDS[kind]:
        usual: object = rng.choice((least, most, rng.randrange(5)))
        if least is None:
            usual = rng.choice(("gw", "rtc", "power", "x" * most))
        elif name == "utc_ms":
            usual = NOW - rng.randrange(-700_000, 10**9)
        elif name == "since_ms":
            usual = rng.randrange(t_ms + 1)
        fields.append(_odd_or(rng, usual))
    return _odd_or(rng, [_odd_or(rng, t_ms, 0.02), kind, *fields][: rng.choice((1, 9, 9, 9, 9, 9))], 0.02)


def _content(rng: random.Random, leaf: str) -> dict[str, object]:
    if leaf == "state":
        said = {
            name: _odd_or(rng, rng.choice(([0, 1], ["door"], {"error": "x"}, 7)), 0.5)
            for name in STATE_FIELDS
        }
        return {"v": 1} | said | {"online": rng.random() < 0.7}
    if leaf == "reply":
        asks = {"v": 1, "ask": "time", "t": _odd_or(rng, 5)}
        crash = {
            "v": 1,
            "do": "crash",
            "boot": _odd_or(rng, 3, 0.5),
            "text": _odd_or(rng, "Error: \x07\n"),
            "fw": "1",
        }
        return rng.choice((asks, crash, crash, {"v": 1, "do": _odd_or(rng, "info")}))
    frame = {
        "v": 1,
        "spool": rng.choice(("8f3a01c2", "00000000")),
        "boot": rng.randrange(4),
        "seq": rng.randrange(1, 300),
    }
    return (
        frame | {rng.choice(("v", "seq", "boot", "spool", "x")): rng.choice(ODD)} | {"r": []}
        if rng.random() < 0.1
        else (frame | {"r": [_record(rng) for _ in range(rng.randrange(1, 15))]})
    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_is_said_on_whichever_topic_nothing_falls_over(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    doors = [Placement("lab", "main", "ff-1", 0), Placement("lab", "street", "ff-1", 1, role=PASSERS_BY)]
    places = Places(
        [Site("lab", "Lab", "Europe/Berlin", 5)], [*doors, Placement("lab", "desk", "ff-2", None)]
    )
    path, failures, link = tmp_path / "ledger.sqlite", [], NotedLink([])
    with Ledger.open(path) as ledger:
        outbox, accounts = Outbox(ledger), Accounts(ledger, places, publish=True, grace_ms=0)
        for _ in range(4):
            inbox = Inbox()
            inbox.put(Opened(link))
            for _ in range(60):
                leaf = rng.choice(("records", "records", "state", "reply", "reply", "config", "x"))
                topic = f"{rng.choice(('footfall/1', 'footfall/1', 'footfall/1', 'town/1'))}/{rng.choice(('ff-1', 'ff-2', 'FF'))}/{leaf}"
                inbox.put(
                    Arrived(
                        link, topic, json.dumps(_content(rng, leaf)).encode()[:4096], rng.random() < 0.2, 1
                    )
                )
            watch = NodeWatch(ledger, places, outbox)
            receiver = Receiver(ledger, places, inbox, watch, lambda: NOW, failures.append)
            receiver.start()
            receiver.stop()
            assert failures == []
            while accounts.work(NOW).more:
                pass
            ledger.compact(NOW, rng.choice((1, 90)))
        assert link.diary.count(("receipt", "1")) == 240  # each has been dealt with
        assert ledger.counters().records + ledger.counters().quarantined > 0
        ledger.spools(), ledger.undated(), NodeBook(ledger).summaries(), list(export_hours(ledger))
        assert all("\n" not in item.line and item.line.encode() for item in outbox.take(10_000))
    Ledger.open(path).close()  # it passes its own check
