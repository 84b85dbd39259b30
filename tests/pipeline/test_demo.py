"""`footfall demo` as a user runs it: the exit code, the table, and clear words when it is stopped or cannot go on."""

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from footfall_simulator import demo, parts
from footfall_simulator.people import IN, OUT, crossings_of
from footfall_simulator.profile import CALIT2, DEMO_DAY, between, read_profile
from footfall_simulator.town import Town
from tests.servers import free_port

LIMIT_S = 500
FOOTFALL = str(Path(sys.executable).with_name("footfall"))


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FOOTFALL, *arguments], capture_output=True, text=True, timeout=LIMIT_S, cwd=folder, check=False
    )


def test_the_demo_day_has_the_data_sets_people_and_each_vote_has_time_to_count() -> None:
    day = demo.make_day(seed=7)
    rows = between(read_profile(CALIT2, "main"), DEMO_DAY, DEMO_DAY)
    walked = [crossing.direction for crossing in crossings_of(day.walks, Town.BEAMS)]
    for direction in (IN, OUT):
        assert walked.count(direction) == sum(row.people for row in rows if row.direction == direction)
    assert {walk.door for walk in day.walks} == set(demo.DOORS)
    times = [press.utc_ms for press in day.presses]
    assert all(later - earlier >= demo.VOTE_GAP_MS for earlier, later in itertools.pairwise(times))


@pytest.mark.timeout(LIMIT_S + 100)
@pytest.mark.usefixtures("micropython")
def test_the_demo_ends_with_three_equal_counts_for_every_hour_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    done = run("demo", "--keep", "out", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^ +\d\d:00 +(?:main|garden)((?: +\d+){6}) +=", done.stdout, re.MULTILINE)
    people = sum(sum(map(int, row.split()[::3])) for row in rows)
    assert f"Equal in every hour: {people} passages walked, counted and stored" in done.stdout
    assert "DIFFERENT" not in done.stdout
    assert (tmp_path / "out" / "var" / "ledger.sqlite").exists()
    assert "Traceback" not in done.stdout + done.stderr + (tmp_path / "out" / "gateway.log").read_text()


@pytest.mark.usefixtures("micropython")
def test_ctrl_c_ends_the_demo_cleanly(tmp_path: Path) -> None:
    with subprocess.Popen(
        [FOOTFALL, "demo", "--keep", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("out/boards/*.console")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until, "no board has started"
            time.sleep(0.1)
        time.sleep(2)  # somewhere in the middle of it; at any moment it must end like this
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in left, "a process was left behind"


def test_a_port_that_somebody_takes_at_the_last_moment_is_not_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        taken = somebody.getsockname()[1]
        ports = itertools.chain([taken, free_port()], itertools.repeat(taken))
        monkeypatch.setattr(demo, "_free_port", lambda: next(ports))
        with demo._broker() as port:
            assert port != taken
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
        with (
            pytest.raises(demo.DemoError, match=r"the broker does not start: .*address already in use"),
            demo._broker(),
        ):
            pass


def test_a_folder_in_use_and_a_missing_part_are_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").write_text("")
    done = run("demo", "--keep", "full", folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, "full: is not empty; --keep wants a new folder\n")
    monkeypatch.setenv("FOOTFALL_MICROPYTHON", str(tmp_path / "nothing"))
    done = run("demo", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("the demo cannot go on: ")
    assert done.stderr.count("\n") == 1
    assert parts.PartError.__name__ not in done.stderr
