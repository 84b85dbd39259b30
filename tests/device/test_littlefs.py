"""The spool on the file system that a board really has: MicroPython's own littlefs, over a flash chip that counts and can fail.

`flash_chip` programs as NOR flash does (an erase sets ones, a program only clears bits), so what littlefs must not do shows.
"""

MOUNTED = """
import asyncio, os
import flash_chip
from node.spool import Spool

def quiet(text):
    pass

async def take(spool, seq, each):
    # Every record from seq on: each(seq, boot, record); L records stand for their gap
    while True:
        found = await spool.batch(seq, 77, 32)
        if not found:
            return seq - 1
        batch = json.loads(found[0])
        assert batch["seq"] == seq and batch["spool"] == spool.id
        for i, values in enumerate(batch["r"]):
            each(seq + i, batch["boot"], values)
        seq = found[1] + 1
"""

A_HUNDRED_THOUSAND = (
    MOUNTED
    + """
import gc
RECORDS = 100000
chip = flash_chip.FlashChip("chip.img")
flash_chip.mount(chip)
os.chdir("/flash")

def record(seq):
    # As days of 2,000 passages go: by day somebody every 20 s or so, an alive record every 5 minutes
    t = seq * 21600 + seq * 7919 % 20011
    if seq % 8 == 0:
        return (t, "A", 812, seq // 2, seq // 3)
    return (t, "P", 0, 1 if seq % 2 else -1, 150 + seq * 31 % 1400)

spool = Spool()
spool.open()
used_before = os.statvfs("/flash")[3]
for seq in range(1, RECORDS + 1):
    spool.append(record(seq))
    if seq % 20 == 0:
        spool.flush()
spool.flush()
assert (spool.flushed, spool.lost, spool.oldest()) == (RECORDS, 0, 1)
spool = None
gc.collect()
flash_chip.mount(chip, "/again")  # the power has been away
os.chdir("/again")
spool = Spool()
spool.open()
assert spool.next_seq == RECORDS + 1
wrong = []
def check(seq, boot, values):
    if tuple(values) != record(seq) or boot != 1:
        wrong.append((seq, values))
last = asyncio.run(take(spool, 1, check))
gc.collect()
show([last, wrong[:3], used_before - os.statvfs("/again")[3], gc.mem_free(), spool.oldest()])
"""
)


def test_a_hundred_thousand_records_fit_into_one_megabyte_of_flash_and_read_back(run_on_board):
    last, wrong, blocks, heap_free, oldest = run_on_board(A_HUNDRED_THOUSAND)
    assert (last, oldest, wrong) == (100_000, 1, [])
    assert blocks * 4096 <= 1024 * 1024
    assert heap_free > 90_000


# Every erase and every program of a scenario is kept, with what had been handed out to the uplink by then. Then the flash
# is put together again as it was after each of them, the next one half done: mounted, opened, gone on with.
EVERY_OPERATION = (
    MOUNTED
    + """
import sys
BLOCKS = int(sys.argv[1])
FULL = sys.argv[2] == "full"
log = []
chip = flash_chip.FlashChip("chip.img", BLOCKS)
flash_chip.mount(chip)
os.chdir("/flash")
if FULL:  # something else takes most of the flash
    with open("ballast.bin", "wb") as f:
        for _ in range(BLOCKS - 16):
            f.write(bytes(4096))
before = bytes(chip.data)  # a mounted, empty flash
chip.log = log

sent = {}  # seq -> (boot, record): handed out, so it may be in the gateway's ledger
moments = []  # (operations, acked, lost, records that became known)
acked = 0
def know(spool):
    new = {}
    def each(seq, boot, values):
        if values[1] != "L" and seq not in sent:
            sent[seq] = new[seq] = [boot] + values
    if spool.flushed:
        asyncio.run(take(spool, max(spool.oldest(), max(sent, default=0) + 1), each))
    moments.append((len(log), acked, spool.lost, new))

def life(passages, ack_after):
    global acked
    spool = Spool(segment_bytes=400 if not FULL else 1000, report=quiet)
    boot = spool.open()
    spool.acknowledged(acked)
    spool.append((0, "R", "power", "0.1.0", boot))
    spool.flush()
    know(spool)
    i = 0
    while i < passages:
        for _ in range(1 if not FULL else 60):
            i += 1
            spool.append((i * 21600, "P", 0, 1 if i % 2 else -1, boot * 100 + i % 100))
        try:
            spool.flush()
        except OSError as error:
            assert error.args[0] == 28, error
        know(spool)
        if i % 9 == 0 and not FULL:
            spool.append((i * 21600 + 5000, "A", 1, spool.lifetime_in, spool.lifetime_out))
            spool.save_totals()
        if i % ack_after == 0:
            acked = spool.flushed - 5
            spool.acknowledged(acked)
            know(spool)

if FULL:
    life(3000, 100000)
    first_lost = [moment[0] for moment in moments if moment[2]][0]
    first, last = first_lost - 14, first_lost + 20
else:
    life(40, 30)
    life(50, 25)
    first, last = 0, len(log)
os.chdir("/")
now = memoryview(bytearray(before))

def apply(data, operation, half=False):
    block, offset, written = operation
    at = block * 4096 + offset
    if written is None:
        end = at + (2048 if half else 4096)
        data[at:end] = b"\\xff" * (end - at)
    else:
        flash_chip.program(data, at, written[: len(written) // 2] if half else written)

class Trial(flash_chip.FlashChip):
    def __init__(self):
        self.blocks = BLOCKS
        self.data = memoryview(bytearray(BLOCKS * 4096))
        self.log = None
        self.operations = 0
        self._wear = [0] * (2 * BLOCKS)

import vfs
trial = Trial()
known = {}
at = 0
gone_on = 0
for n in range(len(log) + 1):
    while at < len(moments) and moments[at][0] <= n:
        known.update(moments[at][3])
        known_acked, known_lost = moments[at][1:3]
        at += 1
    for half in (False, True):
        if not first <= n <= last or half and n == len(log):
            continue
        trial.data[:] = now
        if half:
            apply(trial.data, log[n], True)
        vfs.mount(vfs.VfsLfs2(trial), "/trial")  # a file system that is damaged does not mount
        os.chdir("/trial")
        spool = Spool(segment_bytes=400 if not FULL else 1000, report=quiet)
        boot = spool.open()
        if known:
            assert spool.flushed >= max(known), (n, half, spool.flushed, max(known))
            spool.acknowledged(known_acked)
            seen = bytearray(max(known) + 1)
            gone = []
            def each(seq, boot, values):
                if values[1] == "L":
                    gone.append((seq, values[2]))
                elif seq in known:
                    seen[seq] = 1
                    assert known[seq] == [boot] + values, (n, half, seq, values)
            asyncio.run(take(spool, known_acked + 1, each))
            missing = [seq for seq in known if seq > known_acked and not seen[seq]]
            if missing:  # only with an L record, and only the oldest
                assert FULL and gone and gone[0][0] == known_acked + 1, (n, half, missing[:5], gone)
                assert all(any(first <= seq < first + count for first, count in gone) for seq in missing), (n, half)
            assert boot > max(values[0] for values in known.values()), (n, half, boot)
        # and it goes on
        seq = spool.next_seq
        assert seq > max(known, default=0)
        spool.append((0, "R", "power", "0.1.0", 0))
        for _ in range(3):
            try:
                spool.flush()
                break
            except OSError:
                assert FULL
        assert spool.flushed == seq, (n, half)
        again = Spool(segment_bytes=400, report=quiet)
        assert again.open() == boot + 1
        assert again.next_seq == seq + 1, (n, half)
        gone_on += 1
        os.chdir("/")
        vfs.umount("/trial")
    if n < len(log):
        apply(now, log[n])
show([len(log), gone_on, sum(1 for operation in log if operation[2] is None), len(sent), spool.lost])
"""
)


EVERY_HEAP_KB = 3000  # for what is compared; more would only be swept more slowly


def test_a_power_cut_at_every_single_erase_and_program_loses_nothing_flushed_and_reuses_no_number(
    run_on_board,
):
    operations, cuts, erases, records, _ = run_on_board(EVERY_OPERATION, 48, "roomy", heap_kb=EVERY_HEAP_KB)
    assert operations > 300
    assert erases > 60
    assert cuts == 2 * operations + 1
    assert records > 90


def test_a_power_cut_around_the_moment_when_the_flash_is_full_loses_only_what_is_told_as_lost(run_on_board):
    operations, cuts, _, records, _ = run_on_board(EVERY_OPERATION, 48, "full", heap_kb=EVERY_HEAP_KB)
    assert operations > 400
    assert cuts > 60
    assert records > 2_500


FULL_FLASH = (
    MOUNTED
    + """
import sys
chip = flash_chip.FlashChip("chip.img", int(sys.argv[1]))
flash_chip.mount(chip)
os.chdir("/flash")
refused = 0
spool = Spool(report=quiet)
spool.open()
for i in range(1, 30001):
    spool.append((i * 21600, "P", 0, 1 if i % 2 else -1, 400))
    if i % 7 == 0:
        try:
            spool.flush()
        except OSError as error:
            assert error.args[0] == 28, error
            refused += 1
    if i == 2000:
        spool.acknowledged(1990)
        assert spool.lost == 0 and spool.oldest() > 1000  # what is acknowledged goes first, and costs nothing
    if i % 300 == 0:
        try:
            spool.save_totals()
        except OSError:
            pass  # as in node/journal.py
spool.flush()
spool.append((0, "R", "power", "x", 0))
spool.flush()
lost = spool.lost
spool = Spool(report=quiet)
spool.open()
spool.acknowledged(1990)
gaps = []
count = 0
def each(seq, boot, values):
    global count
    count += 1
    if values[1] == "L":
        gaps.append([seq, values[2]])
last = asyncio.run(take(spool, 1991, each))
show([refused, lost, gaps, count, last, spool.lifetime_in, spool.lifetime_out])
"""
)


def test_a_full_flash_gives_up_the_oldest_reports_how_many_and_keeps_most_of_what_it_can_hold(run_on_board):
    refused, lost, gaps, count, last, lifetime_in, lifetime_out = run_on_board(FULL_FLASH, 32)
    assert refused > 1
    assert last == 30_001
    assert gaps == [[1991, lost]]
    assert count == 1 + 30_001 - 1990 - lost
    assert (lifetime_in, lifetime_out) == (15_000, 15_000)
    # 32 blocks hold some 12,000 records. Ending a segment at every refusal would leave a few dozen to each block.
    assert count > 9_000
    assert refused < 100
