"""From bytes to buckets: whatever is thrown in between, the good records count and nothing falls over."""

import random
from collections import Counter
from pathlib import Path

import pytest

from footfall_gateway import ingest
from footfall_gateway.accounts import Accounts
from footfall_gateway.ingest import Batch, Refusal, receive
from footfall_gateway.ledger import Ledger
from footfall_gateway.places import Placement, Places, Site

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
            for _ in range(20):
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
