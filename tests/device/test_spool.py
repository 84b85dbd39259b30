"""The spool on the real MicroPython: no record lost once flushed, no number used twice, whatever is cut when."""

import json

import pytest

from tests.device.power_cut import POWER

PASSAGE = "(%d, 'P', 0, %d, 400)"

READ_ALL = """
import asyncio
from node.spool import Spool
def read_all(spool, start=1):
    async def reading():
        records = {}
        seq = start
        while True:
            found = await spool.batch(seq, 77)
            if not found:
                return records
            batch = json.loads(found[0])
            assert batch["seq"] == seq and batch["spool"] == spool.id and len(found[0]) <= 2048
            for i, values in enumerate(batch["r"]):
                records[seq + i] = [batch["boot"]] + values
            assert found[1] >= seq
            seq = found[1] + 1
    return asyncio.run(reading())
"""


SUMMARY = (
    READ_ALL
    + """
def summary(spool, start=1):
    # Numbers in order without a double; the L records; how many there were. All of them at once would fill the memory.
    async def reading():
        seq = start
        count = 0
        lost = []
        while True:
            found = await spool.batch(seq, 77)
            if not found:
                return [count, seq - 1, lost]
            batch = json.loads(found[0])
            count += len(batch["r"])
            lost += [[seq, values] for values in batch["r"] if values[1] == "L"]
            assert lost and lost[-1][0] == seq or found[1] == seq + len(batch["r"]) - 1
            seq = found[1] + 1
    return asyncio.run(reading())
"""
)


def test_records_keep_their_numbers_across_boots_and_unflushed_ones_free_theirs(run_on_board):
    write = (
        READ_ALL
        + """
spool = Spool()
spool.open()
for i in range(60):
    spool.append((1000 * i, "P", 0, 1 if i % 3 else -1, 400))
spool.flush()
for i in range(5):
    spool.append((90000 + i, "P", 0, 1, 400))  # lost: never flushed
show([spool.id, spool.boot, spool.flushed, spool.next_seq, len(read_all(spool))])
"""
    )
    first = run_on_board(write)
    assert first[1:] == [1, 60, 66, 60]
    second = run_on_board(write)
    assert second == [first[0], 2, 120, 126, 120]
    lifetime = run_on_board(
        "from node.spool import Spool\ns = Spool()\ns.open()\nshow([s.lifetime_in, s.lifetime_out])"
    )
    assert lifetime == [80, 40]


def test_a_tail_torn_at_any_byte_costs_only_the_record_it_hits(run_on_board):
    result = run_on_board(
        READ_ALL
        + """
import os
spool = Spool()
spool.open()
wanted = []
for i in range(12):
    wanted.append((1000 * i, "P", 0, 1, 400 + i))
    spool.append(wanted[-1])
    spool.flush()
path = "spool/%s/000000000001.seg" % spool.id
with open(path, "rb") as f:
    whole = f.read()
found = []
for cut in range(len(whole)):
    for name in os.listdir("spool/" + spool.id):
        os.remove("spool/%s/%s" % (spool.id, name))
    with open(path, "wb") as f:
        f.write(whole[:cut])
    torn = Spool(report=lambda text: None)
    torn.open()
    kept = torn.flushed
    torn.append((5, "R", "power", "x", 0))
    torn.flush()
    again = Spool(report=lambda text: None)
    again.open()
    records = read_all(again)
    assert sorted(records) == list(range(1, kept + 2)), (cut, records)
    assert all(tuple(records[i + 1][1:]) == wanted[i] for i in range(kept)), cut
    assert records[kept + 1][2] == "R"
    found.append(kept)
show(found)
"""
    )
    assert result == sorted(result)
    assert result[0] == 0
    assert result[-1] == 11
    assert len(set(result)) == 12


# A power cut at every single write, flush, rename and delete, with the last write half done.
CUT_EVERYWHERE = (
    READ_ALL
    + POWER
    + """
from node import flash, spool as spool_module

for module in (flash, spool_module):
    module.open = File
    module.os = Os()

def wipe():
    for folder in os.listdir("spool") if "spool" in os.listdir() else ():
        for name in os.listdir("spool/" + folder):
            os.remove("spool/%s/%s" % (folder, name))
        os.rmdir("spool/" + folder)
    for name in ("boot.json", "totals.json", "boot.json.new", "totals.json.new"):
        if name in os.listdir():
            os.remove(name)

def life(sent, passages, acked):
    # One boot: what may have been sent is remembered, as a gateway would.
    spool = Spool(segment_bytes=60, report=lambda text: None)
    boot = spool.open()
    spool.acknowledged(acked)
    assert spool.flushed >= max(sent, default=0), (spool.flushed, max(sent))
    kept = read_all(spool, acked + 1) if sent else {}
    for seq, values in sent.items():
        assert seq <= acked or kept[seq] == values, (acked, seq)
    for i in range(passages):
        spool.append((i * 1000, "P", 0, 1 if i % 2 else -1, boot))
        if i % 3 == 2:
            spool.flush()
            for seq, values in read_all(spool, max(spool.oldest(), acked + 1)).items():
                assert sent.get(seq, values) == values, (seq, sent[seq], values)
                sent[seq] = values
        if i % 9 == 7:
            spool.save_totals()
    return spool

cuts = 0
most = 0
while True:
    wipe()
    sent = {}
    power.left = None
    life(sent, 18, 0)
    power.left = cuts
    try:
        life(sent, 48, 6 + cuts % 12)
        done = True
    except Cut:
        done = False
    power.left = None
    spool = life(sent, 3, 6 + cuts % 12)
    assert sorted(sent) == list(range(1, max(sent) + 1)), sorted(sent)
    ins = sum(1 for v in sent.values() if v[2] == "P" and v[4] == 1)
    outs = sum(1 for v in sent.values() if v[2] == "P" and v[4] == -1)
    flushed = read_all(spool, max(sent) + 1)
    assert not flushed
    assert spool.lifetime_in + spool.lifetime_out == ins + outs, (cuts, spool.lifetime_in, ins, spool.lifetime_out, outs)
    if done:
        break
    cuts += 1
show(cuts)
"""
)


def test_a_power_cut_at_every_write_loses_nothing_flushed_and_reuses_no_number(run_on_board):
    assert run_on_board(CUT_EVERYWHERE) > 40


def test_acknowledged_segments_are_deleted_but_the_newest_keeps_the_number(run_on_board, flash):
    depth = run_on_board(
        READ_ALL
        + """
spool = Spool()
spool.open()
for i in range(1500):
    spool.append((1000 * i, "P", 0, 1, 400))
    if i % 20 == 19:
        spool.flush()
spool.acknowledged(1500)
show(spool.depth())
"""
    )
    assert depth == 0
    segments = list(flash.glob("spool/*/*.seg"))
    assert len(segments) == 1
    state = run_on_board(
        "from node.spool import Spool\ns = Spool()\ns.open()\nshow([s.next_seq, s.boot, s.lifetime_in])"
    )
    assert state == [1501, 2, 1500]


def test_a_full_spool_drops_the_oldest_and_says_how_many(run_on_board, flash):
    (count, last, lost), dropped, lifetime = run_on_board(
        SUMMARY
        + """
spool = Spool(max_bytes=16 * 1024)
spool.open()
for i in range(4000):
    spool.append((1000 * i, "P", 0, 1, 400))
    if i % 25 == 24:
        spool.flush()
spool.acknowledged(100)
show([summary(spool, 101), spool.lost, spool.lifetime_in])
"""
    )
    ((seq, values),) = lost
    assert seq == 101
    assert values[:2] == [77, "L"]
    gone = values[2]
    assert gone > 1000
    assert last == 4000
    assert count == 1 + 4000 - 100 - gone
    assert dropped == gone + 100
    assert lifetime == 4000
    assert sum(path.stat().st_size for path in flash.glob("spool/*/*.seg")) <= 16 * 1024


def test_damage_in_the_middle_costs_the_rest_of_that_segment_and_is_reported(run_on_board, flash):
    run_on_board(
        SUMMARY
        + """
spool = Spool()
spool.open()
for i in range(1200):
    spool.append((1000 * i, "P", 0, 1, 400))
    if i % 20 == 19:
        spool.flush()
"""
    )
    first, second, *_ = sorted(flash.glob("spool/*/*.seg"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 0x10
    first.write_bytes(data)
    count, last, lost = run_on_board(SUMMARY + "spool = Spool()\nspool.open()\nshow(summary(spool))")
    ((gap, values),) = lost
    assert 100 < gap < int(second.stem)
    assert gap + values[2] == int(second.stem)
    assert last == 1200
    assert count == 1 + 1200 - values[2]


@pytest.mark.parametrize("place", [pytest.param(1, id="header"), pytest.param(1000, id="middle")])
def test_where_the_newest_segment_is_damaged_no_number_that_it_may_have_held_is_used_again(
    run_on_board, flash, place
):
    written = run_on_board(
        SUMMARY
        + """
spool = Spool()
spool.open()
for i in range(300):
    spool.append((1000 * i, "P", 0, 1, 400))
spool.flush()
show(spool.next_seq)
"""
    )
    newest = max(flash.glob("spool/*/*.seg"))
    data = bytearray(newest.read_bytes())
    data[place] ^= 0x10
    newest.write_bytes(data)
    again, count, last, lost = run_on_board(
        SUMMARY
        + """
spool = Spool()
spool.open()
again = spool.next_seq
spool.append((5, "P", 0, 1, 400))
spool.flush()
show([again] + summary(spool))
"""
    )
    assert again >= written
    assert last == again
    ((gap, values),) = lost
    assert gap + values[2] == again
    assert count == gap - 1 + 1 + 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("boot.json", "{"),
        ("boot.json", '{"boot":"x"}'),
        ("boot.json", "[]"),
        ("totals.json", '{"spool":1}'),
        ("totals.json", "\x00"),
    ],
)
def test_a_spoilt_note_does_not_keep_the_node_from_counting(run_on_board, flash, name, content):
    code = (
        READ_ALL
        + "s = Spool()\ns.open()\ns.append((5, 'P', 0, 1, 400))\ns.flush()\nshow([s.boot, s.flushed, s.lifetime_in])"
    )
    run_on_board(code)
    (flash / name).write_text(content)
    assert run_on_board(code) == [2, 2, 2]


def test_whatever_is_read_and_written_in_turns_no_record_in_flash_is_told_as_lost(run_on_board):
    count, rounds = run_on_board(
        """
import asyncio, json, random
from node.spool import Spool
random.seed(5)
spool = Spool(segment_bytes=1500)
spool.open()

async def writes():
    while spool.next_seq < 6000:
        await asyncio.sleep_ms(0)  # also while a segment is being read
        some()

def some():
    for _ in range(random.choice((1, 5, 30, 70, 150))):
        spool.append((1000 * spool.next_seq, "P", 0, 1, spool.next_seq % 3000))
    spool.flush()

async def turns():
    acked = 0
    seq = 1
    rounds = 0
    while spool.next_seq < 6000:
        some()
        if rounds == 40:
            asyncio.create_task(writes())
        if not random.randrange(4):
            seq = acked + 1  # a new connection: from the last acknowledgement on
        for _ in range(random.choice((0, 1, 3, 1000))):  # never, now and then, all there is
            found = await spool.batch(seq, 77, random.choice((1, 7, 32)))
            if not found:
                break
            batch = json.loads(found[0])
            assert batch["seq"] == seq
            for i, values in enumerate(batch["r"]):
                assert values[1] == "P" and values[4] == (seq + i) % 3000, (seq + i, values)
            seq = found[1] + 1
        if not random.randrange(3):
            acked = max(acked, seq - 1)
            spool.acknowledged(acked)
        rounds += 1
    return rounds
rounds = asyncio.run(turns())
show([spool.next_seq - 1, rounds])
"""
    )
    assert count >= 5999
    assert rounds > 50


FLAKY = """
class Flaky(Spool):
    '''Its reads go wrong as often as `wrong` says, each in the way of `how`.'''
    wrong = 0
    reads = 0
    how = "refused"
    def _read(self, first):
        self.reads += 1
        if not self.wrong:
            return Spool._read(self, first)
        self.wrong -= 1
        if self.how == "refused":
            raise OSError(5)
        data = Spool._read(self, first)
        data[len(data) // 2 if self.how == "torn" else 0] ^= 255
        return data
spool = Flaky(report=said.append)
spool.open()
for i in range(800):
    spool.append((1000 * i, "P", 0, 1, 400))
    if i % 40 == 39:
        spool.flush()
"""


@pytest.mark.parametrize("how", ["refused", "torn", "headless"])
def test_a_read_that_goes_wrong_twice_loses_nothing_and_one_that_always_does_is_told(run_on_board, how):
    found = run_on_board(
        READ_ALL
        + "said = []"
        + FLAKY
        + f"""
spool.how = {how!r}
spool.wrong = 2
right = [len([r for r in read_all(spool).values() if r[2] == "P"]), list(said)]
spool.wrong = 1000
show(right + [read_all(spool), said, spool.reads])
"""
    )
    passages, words, records, said, reads = found
    assert passages == 800
    assert words == []
    assert [r for r in records.values() if r[2] == "L"], "but it does not read for ever"
    assert said
    assert reads < 60


@pytest.mark.parametrize("how", ["refused", "torn", "headless"])
def test_a_read_that_goes_wrong_at_boot_gives_no_number_twice(run_on_board, how):
    code = (
        READ_ALL
        + "said = []"
        + FLAKY
        + f"""
again = Flaky(report=said.append)
again.wrong = 2
again.how = {how!r}
again.open()
show([spool.flushed, again.next_seq, said, again.lifetime_in])
"""
    )
    assert run_on_board(code) == [800, 801, [], 800]


def test_what_was_given_up_is_told_without_reading_or_waiting_in_vain(run_on_board):
    """A full flash dropped it on purpose: nothing to be looked for again."""
    reads, waits, lost = run_on_board(
        READ_ALL
        + "said = []"
        + FLAKY
        + """
spool._drop_oldest("the flash is full")
spool.reads = 0
waits = []
sleep_ms = asyncio.sleep_ms
def noted(ms):
    waits.append(ms)
    return sleep_ms(ms)
asyncio.sleep_ms = noted
async def first():
    return await spool.batch(1, 77)
text, last = asyncio.run(first())
show([spool.reads, waits, json.loads(text)["r"]])
"""
    )
    assert reads == 0
    assert waits == []
    assert lost[0][1] == "L"


def test_many_more_records_than_memory_are_read_back_in_bounded_memory(run_on_board):
    free = run_on_board(
        READ_ALL
        + """
import gc
spool = Spool()
spool.open()
for i in range(6000):
    spool.append((1000 * i, "P", 0, 1, 400))
    if i % 40 == 39:
        spool.flush()
async def drain():
    seq = 1
    least = 1 << 30
    while seq <= 6000:
        text, last = await spool.batch(seq, 0)
        seq = last + 1
        gc.collect()
        least = min(least, gc.mem_free())
    return least
show(asyncio.run(drain()))
"""
    )
    assert free > 60_000


def test_a_spool_is_named_at_random(run_on_board, flash):
    ids = set()
    for _ in range(3):
        ids.add(run_on_board("from node.spool import Spool\ns = Spool()\ns.open()\nshow(s.id)"))
        for path in sorted(flash.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert len(ids) == 3
    assert all(len(name) == 8 and json.dumps(name) for name in ids)


def test_a_flash_that_refuses_for_a_while_loses_nothing_and_one_that_refuses_for_good_stays_bounded(
    run_on_board,
):
    seen = run_on_board(
        SUMMARY
        + """
import builtins
from node import spool as spool_module
refusing = False
class File:
    def __init__(self, name, mode="r"):
        self.file = builtins.open(name, mode)
    def write(self, data):
        if refusing:
            self.file.write(data[:5])
            raise OSError(5)
        return self.file.write(data)
    def __getattr__(self, name):
        return getattr(self.file, name)
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.file.close()
spool_module.open = File
spool = Spool(report=lambda text: None)
spool.open()
def count(n):
    refused = 0
    for i in range(n):
        spool.append((1000 * spool.next_seq, "P", 0, 1, 400))
        if i % 10 == 9:
            try:
                spool.flush()
            except OSError:
                refused += 1
    return refused
count(50)
refusing = True
refused = count(100)
refusing = False
count(10)
whole = summary(spool)
refusing = True
count(2000)
waiting = spool.unflushed()
refusing = False
count(10)
again = Spool(report=lambda text: None)
again.open()
show([refused, whole, waiting, summary(again), spool.lost, again.next_seq, spool.next_seq])
"""
    )
    refused, whole, waiting, after, lost, next_again, next_seq = seen
    assert refused == 10
    assert whole == [160, 160, []]
    assert waiting <= 200
    count, last, gaps = after
    assert last == 2170
    assert lost > 0
    assert sum(values[2] for _, values in gaps) == lost
    assert count == 2170 - lost + len(gaps)
    assert next_again == next_seq == 2171


def test_a_flash_that_is_full_before_the_spool_is_makes_room_for_what_is_new(run_on_board):
    seen = run_on_board(
        SUMMARY
        + """
import builtins, os
from node import spool as spool_module
ROOM = 12000
class File:
    def __init__(self, name, mode="r"):
        self.file = builtins.open(name, mode)
        self.writes = "w" in mode
    def write(self, data):
        folder = "spool/" + spool.id
        used = sum(os.stat(folder + "/" + name)[6] for name in os.listdir(folder))
        if used + len(data) > ROOM:
            raise OSError(28)
        n = self.file.write(data)
        self.file.flush()
        return n
    def __getattr__(self, name):
        return getattr(self.file, name)
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.file.close()
spool_module.open = File
spool = Spool(report=lambda text: None)
spool.open()
for i in range(4000):
    spool.append((1000 * i, "P", 0, 1, 400))
    if i % 10 == 9:
        try:
            spool.flush()
        except OSError:
            spool.flush()  # as the flash task does a moment later
show([summary(spool), spool.lost, spool.unflushed()])
"""
    )
    (count, last, gaps), lost, waiting = seen
    assert last == 4000
    assert waiting == 0
    assert lost > 1000
    assert [seq for seq, _ in gaps] == [1]
    assert gaps[0][1][2] == lost
    assert count == 4000 - lost + 1
