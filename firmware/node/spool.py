"""The node's queue in flash: every record, numbered for good, until the gateway has it on disk.

door, terminal, clock and main append; main's flush task writes; uplink reads and passes on acknowledgements. The bytes are
footfall_core.spool's, here are the files:

    spool/<spool id>/<number of the first record>.seg      a few hundred records each, of one boot
    boot.json                                              the number of this boot
    totals.json                                            lifetime passages up to some record

What holds at every moment, power cut included: only what is flushed is handed to the uplink, and what is flushed is found
again, so no number is ever used twice. A segment that was torn is not written to again. The newest segment is never deleted,
it carries the number. Where records are gone (flash full, flash damaged), `batch` says so with an L record that stands
for the whole gap.
"""

import asyncio
import os

from micropython import const

from footfall_core import payload, record
from footfall_core.spool import MAX_FRAME_BYTES, SegmentReader, SegmentWriter
from node import flash

# With the last frame below 4096, the block of the flash: larger segments would only be copied again and again
SEGMENT_BYTES = const(4000)
MAX_BYTES = const(1048576)  # of 2 MB that a board with 4 MB flash has for files; some 100,000 passages
FILE_BYTES = const(512)  # what a file costs beside its content
MAX_PENDING = const(200)  # records waiting for a flash that refuses them
KEPT_IN_RAM = const(
    24
)  # latest records, so that the uplink need not read back what was just written; 100 bytes each
# A batch ends at either: longer texts ask for more free heap in one piece than a small board has after days
BATCH_RECORDS = const(32)
# A gap is told for good: whoever has it told does not ask again. A read that went wrong is no gap yet
_READ_TRIES = const(3)
_READ_AGAIN_MS = const(250)
_FULL_MARK = const(1000)
_WRITE_BYTES = const(512)
_SMALLEST_FRAME = const(5)
_LONGEST_HEADER = const(24)
_NO_SPACE = const(28)  # ENOSPC: littlefs says it, errno does not name it
# What a full flash is freed to. littlefs copies a segment's block for every flush: with a block or two to spare, each
# segment would end after a few records, as every flush met a full flash again, and yet occupy a whole block.
_SPARE_BLOCKS = const(8)


def _whole(value):
    return value if isinstance(value, int) and value > 0 else 0


class Spool:
    """The spool in `folder`. After `open`, records go in by `append` and out by `batch` and `acknowledged`."""

    def __init__(
        self, folder="spool", max_bytes=MAX_BYTES, segment_bytes=SEGMENT_BYTES, outside=(), report=print
    ):
        self.id = None  # 8 hex digits
        self.boot = 0
        self.next_seq = 1  # the number of the next record
        self.flushed = 0  # the highest number in flash
        self.acked = 0  # the highest number that the gateway has on disk, as far as is known here
        self.lost = 0  # records dropped without having been acknowledged, since boot
        self.lifetime_in = 0
        self.lifetime_out = 0
        self._outside = outside  # barriers that no visitor passes: not in the lifetime totals
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._report = report
        self._parent = folder
        self._folder = None
        self._firsts = []  # first number of each segment, ascending
        self._sizes = []
        self._bytes = 0
        self._pending = []  # records not in flash yet
        self._recent = []  # the last records that are in flash
        self._file = None
        self._writer = None
        self._cursor = None  # (first of segment, reader, iterator, highest number when it was read)
        self._cursor_seq = 0  # what the iterator gives next
        # Made once, while the heap is whole: after days of small objects there is no room of this size in one piece
        self._buffer = bytearray(segment_bytes + MAX_FRAME_BYTES)
        self._totals_seq = 0  # the record up to which totals.json counts

    # ---- at boot

    def open(self):
        """Find or create the spool and begin a new boot. Returns the number of the boot."""
        flash.make_folder(self._parent)
        ids = [
            name for name in os.listdir(self._parent) if len(name) == 8 and not name.strip("0123456789abcdef")
        ]
        if ids:
            self.id = max(ids, key=self._age)
            if len(ids) > 1:
                self._report("spool: %d spools in flash, going on with %s" % (len(ids), self.id))
        else:
            self.id = "".join("%02x" % byte for byte in os.urandom(4))
        self._folder = self._parent + "/" + self.id
        flash.make_folder(self._folder)
        self._find_segments()
        totals = flash.read_json("totals.json") or {}
        if totals.get("spool") == self.id:
            self.lifetime_in = _whole(totals.get("in"))
            self.lifetime_out = _whole(totals.get("out"))
            self._totals_seq = _whole(totals.get("seq"))
        boot = self._read_segments()
        self.flushed = self.next_seq - 1
        kept = flash.read_json("boot.json") or {}
        self.boot = max(boot, _whole(kept.get("boot"))) + 1
        try:
            flash.write("boot.json", '{"boot":%d}' % self.boot)
        except OSError as error:  # the boot's first segment will carry the number
            self._report("spool: cannot note the boot (%s)" % error)
            self._make_room("the flash may be full")
        return self.boot

    def _age(self, spool_id):
        """A measure of how recent a spool is: its highest number."""
        names = os.listdir(self._parent + "/" + spool_id)
        return max([int(name[:-4]) for name in names if name.endswith(".seg")] + [0])

    def _find_segments(self):
        for name in os.listdir(self._folder):
            if name.endswith(".seg"):
                self._firsts.append(int(name[:-4]))
        self._firsts.sort()
        for first in self._firsts:
            size = os.stat(self._path(first))[6]
            self._sizes.append(size)
            self._bytes += size + FILE_BYTES

    def _read_segments(self):
        """Take from the segments what is in them alone: the next number, the latest totals. Returns the highest boot."""
        boot = 0
        for i, first in enumerate(self._firsts):
            newest = i == len(self._firsts) - 1
            if not newest and self._firsts[i + 1] <= self._totals_seq:
                continue
            reader = self._read_at_boot(first)
            if reader is None:
                # Shorter than a header: torn while it was begun, nothing in it was ever sent. Longer: the flash is
                # damaged, and no number that the segment may have held is used again.
                self.next_seq = first
                if self._sizes[i] > _LONGEST_HEADER:
                    self.next_seq += self._sizes[i] // _SMALLEST_FRAME
                    self._report("spool: segment %d is damaged" % first)
                continue
            boot = max(boot, reader.boot)
            if newest:
                self.next_seq = first + reader.count
                bad = self._sizes[i] - reader.good_bytes
                if bad > _WRITE_BYTES + MAX_FRAME_BYTES:  # more than one write: no power cut did that
                    self.next_seq += bad // _SMALLEST_FRAME
                    self._report("spool: segment %d is damaged" % first)
                elif bad:
                    self._report("spool: %d bytes were being written when the power went" % bad)
        return boot

    def _read_at_boot(self, first):
        """Count what is in a segment; its reader at the end, or None. Read anew where it ends before its time: were a
        read that went wrong believed, numbers that have been sent would be given again."""
        before = self.lifetime_in, self.lifetime_out
        for _ in range(_READ_TRIES):
            self.lifetime_in, self.lifetime_out = before
            reader = None
            try:
                reader = SegmentReader(self._read(first))
                for seq, values in enumerate(reader, first):
                    if seq > self._totals_seq:
                        self._count(values)
                if not reader.torn:
                    break
            except (OSError, payload.PayloadError):
                pass
        return reader

    # ---- records in

    def append(self, values):
        """Take a record (a tuple as in footfall_core.record). It is safe after the next flush."""
        self._pending.append(values)
        self.next_seq += 1
        self._count(values)

    def unflushed(self):
        """How many records a power cut would cost now."""
        return len(self._pending)

    def flush(self):
        """Write everything to flash. OSError where the flash does not take it; then it stays pending."""
        try:
            while self._pending:
                self._write_some()
        except OSError as error:
            self._close()  # what part of it got there is unknown: go on in a new segment
            if error.args[0] == _NO_SPACE:
                self._make_room("the flash is full")
            self._bound_pending()
            raise
        while self._bytes > self._max_bytes and len(self._firsts) > 1:
            self._drop_oldest("the spool is full")

    def _write_some(self):
        """Write the oldest pending records, as many as go into this segment and into one piece of heap."""
        if self._file is None or self._sizes[-1] >= self._segment_bytes:
            self._begin_segment()
        writer = self._writer
        out = bytearray()
        if not writer.count:
            out.extend(writer.header())
        room = min(_WRITE_BYTES, self._segment_bytes - self._sizes[-1])
        taken = 0
        while taken < len(self._pending) and len(out) < room:
            out.extend(writer.frame(self._pending[taken]))
            taken += 1
        self._file.write(out)
        self._file.flush()
        self._sizes[-1] += len(out)
        self._bytes += len(out)
        self._recent.extend(self._pending[:taken])
        del self._recent[:-KEPT_IN_RAM]
        del self._pending[:taken]
        self.flushed += taken

    def _bound_pending(self):
        """A flash that fails for good must not fill the memory: give up the older half of what waits."""
        if len(self._pending) < MAX_PENDING:
            return
        given_up = MAX_PENDING // 2
        del self._pending[:given_up]
        del self._recent[:]
        self.flushed += given_up
        self.lost += given_up
        self._report("spool: the flash fails, %d records are given up" % given_up)

    def _begin_segment(self):
        self._close()
        first = self.flushed + 1
        self._writer = SegmentWriter(self.id, self.boot, first)
        self._file = open(self._path(first), "wb")  # noqa: SIM115 - stays open until the segment is full
        if self._firsts and self._firsts[-1] == first:  # begun before, but nothing in it was flushed
            self._bytes -= self._sizes[-1]
            self._sizes[-1] = 0
        else:
            self._firsts.append(first)
            self._sizes.append(0)
            self._bytes += FILE_BYTES

    def _close(self):
        if self._file:
            try:
                self._file.close()
            except OSError:
                pass
            self._file = None

    def _path(self, first):
        return "%s/%012d.seg" % (self._folder, first)

    def _read(self, first):
        """The bytes of a segment; valid until the next one is read."""
        with open(self._path(first), "rb") as f:
            return memoryview(self._buffer)[: f.readinto(self._buffer)]

    def _count(self, values):
        if values[1] == record.PASSAGE and values[2] not in self._outside:
            if values[3] < 0:
                self.lifetime_out += 1
            else:  # a single beam knows no direction: its passages are all counted here
                self.lifetime_in += 1

    def save_totals(self):
        """Note the lifetime totals up to the last record in flash, so that segments may go."""
        waiting = [
            values[3]
            for values in self._pending
            if values[1] == record.PASSAGE and values[2] not in self._outside
        ]
        waiting_out = sum(1 for direction in waiting if direction < 0)
        flash.write(
            "totals.json",
            '{"spool":"%s","seq":%d,"in":%d,"out":%d}'
            % (
                self.id,
                self.flushed,
                self.lifetime_in - (len(waiting) - waiting_out),
                self.lifetime_out - waiting_out,
            ),
        )
        self._totals_seq = self.flushed

    # ---- records out

    def oldest(self):
        """The lowest number that may still be in flash."""
        return self._firsts[0] if self._firsts else self.next_seq

    def depth(self):
        """How many records the gateway has not acknowledged."""
        return self.next_seq - 1 - self.acked

    def still_to_come(self):
        """Bytes of flash that the spool may still take."""
        return max(0, self._max_bytes - self._bytes)

    def acknowledged(self, seq):
        """The gateway has everything up to seq on disk: forget whole segments of it, but never the newest."""
        self.acked = max(self.acked, seq)
        while len(self._firsts) > 1 and self._firsts[1] <= self.acked + 1:
            self._remove_oldest()

    async def batch(self, seq, now_ms, most=BATCH_RECORDS):
        """The batch beginning with record seq: (payload text, number of its last record); None where there is none yet.

        It has at most `most` records. Where the records from seq on are gone, the batch is one L record for the whole gap and the last number is the
        gap's.
        """
        if seq > self.flushed:
            return None
        first_in_ram = self.flushed - len(self._recent) + 1
        if seq >= first_in_ram:
            encoded = []
            size = 0
            for values in self._recent[seq - first_in_ram : seq - first_in_ram + most]:
                encoded.append(payload.encode_record(values))
                size += len(encoded[-1]) + 1
                if size > _FULL_MARK:
                    break
            return self._batch(self.boot, seq, encoded)
        for left in range(_READ_TRIES - 1, -1, -1):
            boot, encoded = await self._from_flash(seq, most)
            if encoded:
                return self._batch(boot, seq, encoded)
            if seq < self.oldest():  # given up, there is nothing to be read
                break
            if left:
                self._cursor = None
                await asyncio.sleep_ms(_READ_AGAIN_MS)
        gone = self._next_first(seq) - seq
        self._report("spool: records %d to %d are gone" % (seq, seq + gone - 1))
        lost = payload.encode_record((now_ms, record.LOST, gone))
        return payload.encode_batch(self.id, self.boot, seq, [lost]), seq + gone - 1

    async def _from_flash(self, seq, most):
        """(boot, records as text) from record seq on, as many as go into a batch and are of one segment."""
        encoded = []
        if not await self._seek(seq):
            return 0, encoded
        size = 0
        first, reader, frames, _ = self._cursor
        last = self._last_of(first)
        while self._cursor_seq <= last and len(encoded) < most and size <= _FULL_MARK:
            values = next(frames, None)
            if values is None:
                break
            encoded.append(payload.encode_record(values))
            size += len(encoded[-1]) + 1
            self._cursor_seq += 1
        return reader.boot, encoded

    def _batch(self, boot, seq, encoded):
        return payload.encode_batch(self.id, boot, seq, encoded), seq + len(encoded) - 1

    async def _seek(self, seq):
        """Put the cursor on record seq; False where no segment has it."""
        first = 0
        for candidate in self._firsts:
            if candidate > seq:
                break
            first = candidate
        if not first:
            return False
        # A segment that has grown since it was read is read anew: its end then is not its end now
        if not self._cursor or self._cursor[0] != first or self._cursor_seq != seq or seq > self._cursor[3]:
            self._cursor = None
            until = self.flushed
            try:
                reader = SegmentReader(self._read(first))
            except (OSError, payload.PayloadError):
                return False
            frames = iter(reader)
            for skipped in range(seq - first):
                if next(frames, None) is None:
                    return False
                if skipped % 16 == 15:
                    await asyncio.sleep_ms(0)  # the doors go first
            self._cursor = first, reader, frames, until
            self._cursor_seq = seq
        return True

    def _next_first(self, seq):
        for first in self._firsts:
            if first > seq:
                return first
        return self.flushed + 1

    def _last_of(self, first):
        """The highest number that the segment beginning with `first` can hold."""
        return self._next_first(first) - 1

    def _remove_oldest(self):
        first = self._firsts[0]
        try:
            if self._totals_seq < self._firsts[1] - 1:
                self.save_totals()
        except OSError as error:
            self._report("spool: cannot note the totals: %s" % error)
        try:
            os.remove(self._path(first))
        except OSError as error:
            self._report("spool: cannot delete segment %d: %s" % (first, error))
        del self._firsts[0]
        self._bytes -= self._sizes.pop(0) + FILE_BYTES

    def _drop_oldest(self, reason):
        """Make room by giving up the oldest segment; never the newest."""
        if len(self._firsts) < 2:
            return
        lost = self._firsts[1] - max(self._firsts[0], self.acked + 1)
        if lost > 0:
            self.lost += lost
            self._report("spool: %s, %d records that the gateway does not have are given up" % (reason, lost))
        self._remove_oldest()

    def _make_room(self, reason):
        """The flash has refused: give up the oldest segment, and more until there is room to write in."""
        self._drop_oldest(reason)
        while len(self._firsts) > 1 and self._free_blocks() < _SPARE_BLOCKS:
            self._drop_oldest(reason)

    def _free_blocks(self):
        found = os.statvfs(self._folder)
        # littlefs counts some blocks of an open file twice: a full flash then has 2**32 - 3 free ones
        return found[3] if found[3] <= found[2] else 0
