"""The USB console: what is printed, kept for whoever asks later, and checked lines that ask something of the node.

app.py runs `listen` in every mode, beside human output and without a pause in counting. A line for the node is

    <leaf> <json>*<CRC-32 of all before the *, 8 hex digits>\\n

as cable.py sends it. Only leaves in `hear` are taken; a line that is damaged is dropped, one that is none is somebody's typing.
Ctrl-C ends the program, on the chip as well, which takes it out of the stream before we see it: the prompt, and with it
mpremote, is always within reach.

Importing this module replaces `print`, so that the last lines can be asked for (command `log`), and wait while a message goes out
in pieces. Lines about passages and presses are not kept: each is a record anyway, and a busy hour would push out all else.
"""

import asyncio
import binascii
import builtins
import select
import sys
from time import ticks_ms

from micropython import const

MAX_LINE_BYTES = const(2048)
KEPT_BYTES = const(2048)
_LONGEST_KEPT = const(160)  # of one line
_PIECE_BYTES = const(64)  # 6 ms at 115200 baud, in which nothing else runs
_CHECK_BYTES = const(9)  # the * and 8 digits
_CTRL_C = const(3)
_HELD_LINES = const(32)  # printed while a message goes out; more are let through at once
_NOT_KEPT = ("passage t=", "press t=")


class Printed:
    """What stands in for `print`: keeps the last lines, and holds lines back while a message goes out."""

    def __init__(self, show):
        self._show = show
        # Made once: texts of all lengths that come and go would cut the heap to pieces.
        self._ring = bytearray(KEPT_BYTES)
        self.end = 0  # bytes ever kept
        self._held = None  # lines that wait for the end of a message

    def print(self, *values, **options):
        """As `print`."""
        if options:
            self._show(*values, **options)
            return
        text = " ".join([str(value) for value in values])
        if self._held is not None and len(self._held) < _HELD_LINES:
            self._held.append(text)
        else:
            self._show(text)
        if not text.startswith(_NOT_KEPT):
            self._keep("%d %s" % (ticks_ms() // 1000, text[:_LONGEST_KEPT].replace("\n", " ")))

    def hold(self, on):
        """Hold lines back, or show those that were held."""
        held, self._held = self._held, [] if on else None
        for text in held or ():
            self._show(text)

    def _keep(self, text):
        data = text.encode() + b"\n"
        at = self.end % KEPT_BYTES
        first = min(len(data), KEPT_BYTES - at)
        self._ring[at : at + first] = data[:first]
        if first < len(data):
            self._ring[: len(data) - first] = data[first:]
        self.end += len(data)

    def kept(self, since, most):
        """(where it begins, text, where to go on) of the kept lines from byte `since` on: whole lines, at most `most` bytes.

        Bytes are counted from the start of the program, so that the same call continues later. A `since` that is no longer
        kept, or not yet there, means the oldest line.
        """
        oldest = max(0, self.end - KEPT_BYTES)
        if not oldest <= since <= self.end:
            since = oldest
        if since == oldest and oldest > 0:  # in the middle of a line, most likely
            while since < self.end and not self._line_ends(since):
                since += 1
        end = min(self.end, since + most)
        while end > since and not self._line_ends(end):
            end -= 1
        at = since % KEPT_BYTES
        first = min(end - since, KEPT_BYTES - at)
        data = bytes(self._ring[at : at + first]) + bytes(self._ring[: end - since - first])
        return since, str(data, "utf-8"), end

    def _line_ends(self, before):
        return self._ring[(before - 1) % KEPT_BYTES] == 10  # the line feed


printed = Printed(builtins.print)
builtins.print = printed.print


class Console:
    """The cable's two directions. hear: leaf -> function(payload bytes) for what arrives."""

    def __init__(self, report=None):
        self.hear = {}
        self.damaged = 0  # lines that were meant for us and did not arrive whole
        self._report = report or builtins.print
        self._writing = asyncio.Lock()

    async def write(self, leaf, payload):
        """Write one message (bytes), in pieces, so that beams are looked at in between."""
        line = bytearray(leaf.encode())
        line.extend(b" ")
        line.extend(payload)
        line.extend(b"*%08x\n" % (binascii.crc32(line) & 0xFFFFFFFF))
        view = memoryview(line)
        async with self._writing:
            printed.hold(True)
            try:
                for start in range(0, len(line), _PIECE_BYTES):
                    sys.stdout.buffer.write(view[start : start + _PIECE_BYTES])
                    await asyncio.sleep_ms(0)
            finally:
                printed.hold(False)

    async def listen(self):
        """Take lines; for ever."""
        stdin = sys.stdin.buffer
        reader = asyncio.StreamReader(stdin)
        poller = select.poll()
        poller.register(stdin, select.POLLIN)
        line = bytearray()
        while True:
            byte = await reader.read(1)
            if not byte:  # no console at all, as on a computer without a cable to it
                await asyncio.Event().wait()
            while byte:
                if byte == b"\n":
                    self._take(bytes(line))
                    line = bytearray()
                elif byte[0] == _CTRL_C:
                    raise KeyboardInterrupt
                elif len(line) <= MAX_LINE_BYTES:
                    line.extend(byte)
                # One by one, as reading more would wait for more; but without a task switch for each.
                byte = stdin.read(1) if poller.poll(0) else None

    def _take(self, line):
        line = line.rstrip(b"\r")
        leaf, _, rest = line.partition(b" ")
        if not rest.startswith(b"{"):
            return  # somebody typed
        try:
            name = str(leaf, "utf-8")
            good = (
                name in self.hear
                and len(line) <= MAX_LINE_BYTES
                and int(line[-8:], 16) == binascii.crc32(line[:-_CHECK_BYTES]) & 0xFFFFFFFF
            )
        except ValueError:
            good = False
        if not good:
            self.damaged += 1
            return
        try:
            self.hear[name](line[len(leaf) + 1 : -_CHECK_BYTES])
        except Exception as error:  # a message that our own code cannot take must not end the console
            self._report("message on %s: %s %s" % (name, type(error).__name__, error))
