"""From the spool to the gateway: batches out, acknowledgements in. app.py runs it over MQTT.

What is sent is not yet safe: only the gateway's acknowledgement (topic `ack`, retained) lets the spool forget. Up to WINDOW
batches are on their way at a time. If the acknowledgement stays out, everything from the last acknowledged record on is sent
again, and it does not matter how much of it arrives twice.
"""

from time import ticks_diff, ticks_ms

from micropython import const

from footfall_core.payload import PayloadError, decode_ack
from node.spool import BATCH_RECORDS
from node.wake import Wake

WINDOW = const(4)
RESEND_AFTER_S = const(10)
LONGEST_RESEND_S = const(160)
IDLE_LOOK_MS = const(10000)  # with nothing on its way; new records and connections wake it at once
WAIT_FOR_ACK_MS = const(2000)  # after a connect: the retained acknowledgement tells where to go on


class Uplink:
    """send(text) is async, takes a batch and tells whether it went out; now_ms() is the time since boot."""

    def __init__(
        self,
        spool,
        send,
        now_ms,
        resend_after_s=RESEND_AFTER_S,
        batch_records=BATCH_RECORDS,
        report=print,
    ):
        self.refused_acks = 0
        self._spool = spool
        self._send = send
        self._now_ms = now_ms
        self._batch_records = batch_records
        self._report = report
        self._first_patience_s = resend_after_s
        self._patience_s = resend_after_s
        self._on_the_way = []  # (last number, tick of sending) of each batch
        self._next = 1
        self._wake = Wake()
        self._ack_seen = Wake()
        self._fresh = True  # a connection on which nothing was sent yet
        self._told_foreign = None

    def wake(self):
        """There are new records in flash."""
        self._wake.set()

    def connected(self):
        """There is a connection anew; what was on the way on the old one counts as lost."""
        self._fresh = True
        self._on_the_way.clear()
        self._wake.set()

    def on_ack(self, text):
        """The gateway's acknowledgement, as received."""
        try:
            spool_id, seq = decode_ack(text)
        except PayloadError as error:
            self._refuse("acknowledgement: %s" % error)
            return
        if spool_id != self._spool.id:
            if self._told_foreign != spool_id:  # retained from the flash that this one replaced: normal, once
                self._told_foreign = spool_id
                self._refuse("acknowledgement for spool %s, ours is %s" % (spool_id, self._spool.id))
            self._ack_seen.set()
            return
        if seq > self._spool.flushed:
            self._refuse("acknowledgement for record %d, but the last one is %d" % (seq, self._spool.flushed))
            return
        if seq < self._spool.acked and not self._fresh:
            self._report(
                "the gateway has only up to record %d, had %d: sending again" % (seq, self._spool.acked)
            )
            self._on_the_way.clear()
            self._next = seq + 1
            self._spool.acked = seq
        elif seq > self._spool.acked:
            self._patience_s = self._first_patience_s
            self._spool.acknowledged(seq)
        elif self._overdue(self._first_patience_s):  # said again: a gateway that was away is back
            self._on_the_way.clear()
            self._next = seq + 1
        while self._on_the_way and self._on_the_way[0][0] <= seq:
            self._on_the_way.pop(0)
        self._next = max(self._next, seq + 1)
        self._ack_seen.set()
        self._wake.set()

    def _overdue(self, patience_s):
        return bool(self._on_the_way) and ticks_diff(ticks_ms(), self._on_the_way[0][1]) > patience_s * 1000

    def _refuse(self, text):
        self.refused_acks += 1
        self._report(text)

    async def run(self, is_connected):
        """Send what there is, as fast as it is acknowledged; for ever."""
        while True:
            await self._wake.within(1000 if self._on_the_way else IDLE_LOOK_MS)
            self._wake.clear()
            if not is_connected():
                continue
            if self._fresh:
                await self._find_place()
            if self._overdue(self._patience_s):
                self._patience_s = max(self._first_patience_s, min(self._patience_s * 2, LONGEST_RESEND_S))
                self._on_the_way.clear()
                self._next = self._spool.acked + 1
                self._report(
                    "records from %d on are not acknowledged: sending again, next time after %d s"
                    % (self._next, self._patience_s)
                )
            while len(self._on_the_way) < WINDOW and is_connected():
                found = await self._spool.batch(self._next, self._now_ms(), self._batch_records)
                if not found:
                    break
                text, last = found
                if not await self._send(text):
                    break
                self._on_the_way.append((last, ticks_ms()))
                self._next = last + 1

    async def _find_place(self):
        """Wait a little for the retained acknowledgement, then begin behind it."""
        await self._ack_seen.within(WAIT_FOR_ACK_MS)
        self._ack_seen.clear()
        self._fresh = False
        self._patience_s = self._first_patience_s
        # Numbers below the oldest are gone, but a broker that lost its latest minutes may hand out an old acknowledgement:
        # only if the gateway, too, turns out not to have them, the re-sending begins with the gap.
        self._next = max(self._spool.acked + 1, self._spool.oldest())
