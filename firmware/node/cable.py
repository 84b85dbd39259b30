"""The USB cable in place of a network: the same messages, one a line, with a checksum. app.py takes it for mqtt.Client.

How a line looks, and who reads them: console.py. The board's console goes over the same cable; the gateway takes a line for a
message only if it begins with a leaf and ` {`. A line that is damaged is dropped at either end: what must arrive is sent again.
A UART takes 1 ms for 11 bytes, in which nothing else runs, so batches are kept short.
"""

import asyncio

from micropython import const

from footfall_core import topic

MAX_BATCH_RECORDS = const(8)  # about 250 bytes, 22 ms


class Cable:
    """The cable to a gateway, over `console` (console.Console), whose `listen` runs elsewhere.

    `connected` from the start: a cable does not tell whether someone listens.
    """

    def __init__(self, node, console):
        self.on_message = None  # (topic, payload bytes)
        self.on_connect = None
        self.connected = False
        self.connects = 0
        self.problem = None  # as a client has it
        self._node = node
        self._console = console
        for leaf in (topic.ACK, topic.CONFIG, topic.COMMAND):
            console.hear[leaf] = self._hand_on(leaf)

    def _hand_on(self, leaf):
        return lambda content: self.on_message(topic.of(self._node, leaf), content)

    async def publish(self, where, payload, _qos=1, _retain=False):
        """Write one message."""
        await self._console.write(topic.parse(where)[1], payload)

    async def run(self, _network_is_up):
        """Be connected; for ever."""
        self.connected = True
        self.connects += 1
        self.on_connect()
        await asyncio.Event().wait()
