"""kill -9 at any moment loses nothing that was acknowledged, and doubles nothing.

A child stores batches as fast as it can and says on its standard output what has been acknowledged. It is killed again
and again at random moments; each new child sends again from a little before the last acknowledgement, as nodes do.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from footfall_gateway.accounts import Accounts
from footfall_gateway.ledger import Ledger
from footfall_gateway.places import Placement, Places, Site

KILLS = 20
NODES = 3
DAY_0 = 1_780_012_800_000

CHILD = """
import sys
from pathlib import Path
from footfall_gateway.accounts import Accounts
from footfall_gateway.ingest import Batch
from footfall_gateway.ledger import Ledger
from footfall_gateway.places import Placement, Places, Site

path, first = Path(sys.argv[1]), [int(one) for one in sys.argv[2:]]
places = Places([Site("lab", "Lab", "UTC")], [Placement("lab", f"d{n}", f"ff-{n}", 0) for n in range(len(first))])
now_ms = 1_790_000_000_000  # so late that no child can get there, however long it lives


def record(seq):
    if seq % 40 == 1:
        return (seq * 1000, "C", 1_780_012_800_000 + seq * 1000, "gw")
    return (seq * 1000, "P", 0, 1, seq % 1000)


with Ledger.open(path) as ledger:
    accounts = Accounts(ledger, places, publish=True, grace_ms=0)
    print("ready", flush=True)
    while True:
        batches = [
            Batch(f"ff-{n}", "00000001", 1, seq, tuple(record(one) for one in range(seq, seq + 20)))
            for n, seq in enumerate(first)
        ]
        for ack in ledger.store(batches, now_ms=now_ms):
            print(ack.node, ack.seq, flush=True)
        accounts.work(now_ms, limit=3)
        first = [seq + 20 for seq in first]
"""


def test_every_acknowledged_record_is_there_once_after_many_kills(tmp_path: Path) -> None:
    rng = random.Random(5)
    path = tmp_path / "ledger.sqlite3"
    acknowledged = dict.fromkeys((f"ff-{n}" for n in range(NODES)), 0)
    for _ in range(KILLS):
        first = [max(1, seq + 1 - rng.randrange(30)) for seq in acknowledged.values()]
        for node, seq in _stored_until_killed(path, first, rng.randrange(60), rng.uniform(0.0, 0.02)):
            acknowledged[node] = max(acknowledged[node], seq)
        _assert_complete(path, acknowledged)
    assert min(acknowledged.values()) > KILLS  # it did get somewhere between the kills
    _assert_accounted(path)


def _assert_accounted(path: Path) -> None:
    """The quarters marked before the kills are all worked off: the hours hold every passage."""
    doors = [Placement("lab", f"d{n}", f"ff-{n}", 0) for n in range(NODES)]
    with Ledger.open(path) as ledger:
        accounts = Accounts(ledger, Places([Site("lab", "Lab", "UTC")], doors), publish=True, grace_ms=0)
        while accounts.work(1_790_000_000_000).more:
            pass
        counted: Counter[tuple[str, int]] = Counter()
        for hour in accounts.hours():
            counted[hour.door, hour.start_ms] = hour.bucket.n_in
        expected = Counter(
            (f"d{spool.node[3:]}", DAY_0 + seq * 1000 // 3_600_000 * 3_600_000)
            for spool in ledger.spools()
            for seq in range(1, spool.contiguous + 1)
            if seq % 40 != 1
        )
        assert counted == expected


def _stored_until_killed(path: Path, first: list[int], acks: int, after_s: float) -> list[tuple[str, int]]:
    """Lets a child store from these numbers on, kills it a moment after so many acknowledgements, and returns what it had
    acknowledged."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), *map(str, first)],
        stdout=subprocess.PIPE,
        bufsize=0,  # what was read ahead of the lines taken here, `communicate` would not see
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"ready\n", "the child could not open the ledger"
        said = b"".join(child.stdout.readline() for _ in range(acks))
        time.sleep(after_s)
    finally:
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate(timeout=60)
    said += rest
    assert child.returncode == -signal.SIGKILL, "the child ended before it was killed"
    whole = said.decode().splitlines(keepends=True)
    return [(line.split()[0], int(line.split()[1])) for line in whole if line.endswith("\n")]


def _assert_complete(path: Path, acknowledged: dict[str, int]) -> None:
    with Ledger.open(path) as ledger:
        assert {ack.node: ack.seq for ack in ledger.acks()}.keys() <= acknowledged.keys()
        for spool in ledger.spools():
            assert spool.contiguous >= acknowledged[spool.node]
            assert spool.missing == 0
        assert ledger.counters().quarantined == 0
    with sqlite3.connect(path) as sql:
        rows = sql.execute(
            "SELECT node.name, count(*), count(DISTINCT seq), min(seq), max(seq), contiguous"
            " FROM record JOIN spool ON spool.id = spool_id JOIN node ON node.id = node_id GROUP BY spool_id"
        ).fetchall()
        wrong = sql.execute(
            "SELECT count(*) FROM record WHERE utc_ms <> ? + seq * 1000 OR t_ms <> seq * 1000", (DAY_0,)
        )
        assert wrong.fetchone() == (0,)
    sql.close()
    for node, n, distinct, lowest, highest, contiguous in rows:
        assert n == distinct == highest == contiguous >= acknowledged[node]
        assert lowest == 1
