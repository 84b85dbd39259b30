"""The USB cable in place of a network: the same messages, one a line, with a checksum. app.py takes it for mqtt.Client.

    <leaf> <json>*<CRC-32 of all before the *, 8 hex digits>\\n

`leaf` is the last part of the topic. The board's console goes over the same cable; the gateway takes a line for a message
only if it begins with a leaf and ` {`. A line that is damaged is dropped at either end: what must arrive is sent again.
While bytes go out over a UART, nothing else runs (115,200 baud: 11 bytes a millisecond), so batches are kept short.
"""

import asyncio
import binascii
import select
import sys

from micropython import const

from footfall_core import topic

MAX_BATCH_RECORDS = const(8)  # about 250 bytes, 22 ms
MAX_LINE_BYTES = const(2048)
_LEAVES = (topic.ACK, topic.CONFIG, topic.COMMAND)
_CHECK_BYTES = const(9)  # the * and 8 digits


class Cable:
    """The cable to a gateway. `connected` from the start: a cable does not tell whether someone listens."""

    def __init__(self, node, report=print):
        self.on_message = None  # (topic, payload bytes)
        self.on_connect = None
        self.connected = False
        self.connects = 0
        self.damaged = 0  # lines from the gateway
        self._node = node
        self._report = report

    async def publish(self, where, payload, _qos=1, _retain=False):
        """Write one message."""
        line = bytearray(topic.parse(where)[1].encode())
        line.extend(b" ")
        line.extend(payload)
        line.extend(b"*%08x\n" % (binascii.crc32(line) & 0xFFFFFFFF))
        sys.stdout.buffer.write(line)
        await asyncio.sleep_ms(0)

    async def run(self, _network_is_up):
        """Take lines from the gateway; for ever."""
        stdin = sys.stdin.buffer
        reader = asyncio.StreamReader(stdin)
        poller = select.poll()
        poller.register(stdin, select.POLLIN)
        self.connected = True
        self.connects += 1
        self.on_connect()
        line = bytearray()
        while True:
            byte = await reader.read(1)
            if not byte:
                await asyncio.sleep_ms(1000)  # nobody holds the other end
                continue
            while byte:
                if byte == b"\n":
                    self._take(bytes(line))
                    line = bytearray()
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
                name in _LEAVES
                and len(line) <= MAX_LINE_BYTES
                and int(line[-8:], 16) == binascii.crc32(line[:-_CHECK_BYTES]) & 0xFFFFFFFF
            )
        except ValueError:
            good = False
        if not good:
            self.damaged += 1
            return
        try:
            self.on_message(topic.of(self._node, name), line[len(leaf) + 1 : -_CHECK_BYTES])
        except Exception as error:  # a message that our own code cannot take must not end the cable
            self._report("message on %s: %s %s" % (name, type(error).__name__, error))
