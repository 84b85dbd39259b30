"""The state topic: retained, so that anyone who asks sees at once how the node is. app.py runs `keep`."""

import asyncio
import json

from node.wake import Wake

SETTLE_MS = 1000
OFFLINE = '{"v":1,"online":false}'  # the last will: the broker says it when the node goes silent


class Status:
    """collect() gives the state as a dict; publish(text) is async and sends it retained."""

    def __init__(self, collect, publish, every_s):
        self._collect = collect
        self._publish = publish
        self._every_s = every_s
        self._wake = Wake()

    def changed(self):
        """Something that others should know at once."""
        self._wake.set()

    async def keep(self, is_connected):
        """Publish at every change and every so often; for ever."""
        while True:
            await self._wake.within(self._every_s * 1000)
            # A chattering beam must not flood the broker; and after a connect the gateway's retained acknowledgement
            # comes within this time, without which the depth of the spool is not known.
            await asyncio.sleep_ms(SETTLE_MS)
            self._wake.clear()
            if is_connected():
                await self._publish(json.dumps(self._collect()))
