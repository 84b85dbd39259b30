"""The ingest thread: takes what has queued, stores it in one transaction, and only then says that it is stored.

The order is the promise: ledger commit, then the acknowledgement to the node, then the receipt to the broker. A crash
between any two of them makes something come a second time, never not at all.

Where the disk is full or the ledger locked, the messages in hand are kept and tried again; the inbox fills, the links
stop reading, the broker and the nodes hold the rest.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from footfall_core import topic
from footfall_core.payload import PayloadError, encode_ack
from footfall_gateway.dating import EARLIEST_UTC_MS, MAX_AHEAD_MS
from footfall_gateway.health import NodeWatch
from footfall_gateway.ingest import UNKNOWN_NODE, Batch, Refusal, receive
from footfall_gateway.ledger import Ack, Ledger, LedgerError
from footfall_gateway.link import Arrived, Inbox, Link, Opened
from footfall_gateway.node_book import NodeBook
from footfall_gateway.node_config import NodeConfigs
from footfall_gateway.node_messages import CrashReport, read_reply, read_state
from footfall_gateway.outage import Backoff, Outage, spoken
from footfall_gateway.places import Places
from footfall_gateway.toml_reader import printable

__all__ = ["Receiver"]

MOST_AT_ONCE = 1000  # messages in one transaction: bounds memory and how long an acknowledgement waits
LOOK_S = 0.2  # how soon a stop is noticed
# A computer without a clock of its own starts with the time at which it was switched off, until the network corrects it
CLOCK_SETTLES_S = 3600.0
TELL_AGAIN_S = 300.0  # the same refusal of the same node is a line in the log every five minutes
MAX_TOLD = 1000

log = logging.getLogger(__name__)


class Receiver:
    """Turns arrivals into rows of the ledger. `crashed` is called with an exception that nothing expected."""

    def __init__(
        self,
        ledger: Ledger,
        places: Places,
        inbox: Inbox,
        watch: NodeWatch,
        now_ms: Callable[[], int],
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._ledger = ledger
        self._book = NodeBook(ledger)
        self._places = places
        self._inbox = inbox
        self._watch = watch
        self._now_ms = now_ms
        self._crashed = crashed
        self._links: dict[str, Link] = {}  # node -> where it was last heard
        self._open: list[Link] = []  # every link that has opened
        self._configs: NodeConfigs | None = None
        self._began = time.monotonic()
        self._told: dict[tuple[str, str], float] = {}
        self._outage = Outage(f"ledger {ledger.path}", log)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def configure(self, configs: NodeConfigs) -> None:
        """Before `start`: whose texts are said to the nodes when a link opens, and who hears what they have."""
        self._configs = configs

    def say(self, node: str, leaf: str, payload: str, *, retain: bool = False) -> None:
        """Sends to a node over the link on which it was last heard, else over every link. From any thread."""
        heard = self._links.get(node)
        for link in [heard] if heard else list(self._open):
            link.send(node, leaf, payload, retain=retain)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stores what has queued until now, then ends."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._take(self._inbox.take(MOST_AT_ONCE, LOOK_S))
            left = len(self._inbox)
            while left > 0:
                items = self._inbox.take(min(left, MOST_AT_ONCE), 0.0)
                left = left - len(items) if items else 0
                self._take(items)
        except Exception as error:  # noqa: BLE001 - a thread must not end unseen
            self._crashed(error)

    def _take(self, items: Sequence[Arrived | Opened]) -> None:
        batches: list[Batch] = []
        refusals: list[Refusal] = []
        crashes: list[tuple[str, CrashReport]] = []
        opened: list[Link] = []
        for item in items:
            if isinstance(item, Opened):
                opened.append(item.link)
                continue
            taken = self._read(item)
            if isinstance(taken, Batch):
                batches.append(taken)
            elif isinstance(taken, CrashReport):
                crashes.append((topic.parse(item.topic)[0], taken))
            elif taken is not None:
                refusals.append(taken)
        if (batches or refusals) and not self._persist(lambda: self._store(batches, refusals)):
            return  # ended while the ledger could not be written: nothing is acknowledged, everything comes again
        if crashes and not self._persist(lambda: self._keep(crashes)):
            return
        for item in items:
            if isinstance(item, Arrived):
                item.link.receipt(item)
        for link in opened:
            self._greet(link)

    def _read(self, arrived: Arrived) -> Batch | CrashReport | Refusal | None:
        """The batch or crash in this message; None where it was something else and has been dealt with."""
        try:
            node, leaf = topic.parse(arrived.topic)
        except PayloadError:
            return receive(arrived.topic, arrived.payload, self._places)  # it says why the topic is refused
        if leaf == topic.RECORDS:
            taken = receive(arrived.topic, arrived.payload, self._places)
            if isinstance(taken, Batch):
                self._heard(node, arrived.link)
            return taken
        if not self._places.knows(node):
            detail = f'no door or terminal in the settings names node "{node}"'
            return Refusal(UNKNOWN_NODE, detail, arrived.topic, arrived.payload)
        self._heard(node, arrived.link)
        if leaf == topic.STATE:
            return self._read_state(node, arrived)
        return self._read_reply(node, arrived)

    def _heard(self, node: str, link: Link) -> None:
        if self._links.get(node) is not link:
            log.info("node %s: heard over the %s", node, link.name)
            self._links[node] = link

    def _read_state(self, node: str, arrived: Arrived) -> Refusal | None:
        if not arrived.payload:
            return None  # somebody removed the retained state of a node that is gone
        state = read_state(arrived.topic, arrived.payload)
        if isinstance(state, Refusal):
            return state
        try:
            self._watch.report(node, state, self._now_ms(), retained=arrived.retained)
            if self._configs is not None and state.online and not arrived.retained:
                self._configs.told(node, state, self._now_ms())
        except LedgerError as error:
            if not error.temporary:
                raise
            # a health point less; the next one comes in a minute
            self._outage.fails(error.what, logging.ERROR)
        return None

    def _read_reply(self, node: str, arrived: Arrived) -> CrashReport | Refusal | None:
        reply = read_reply(arrived.topic, arrived.payload)
        if isinstance(reply, Refusal | CrashReport):
            return reply
        if reply.ask != "time" or reply.t is None:
            log.debug("node %s: %r", node, arrived.payload)
            return None
        if self._may_be_behind(node, reply.t):
            return None
        utc = self._now_ms()
        if utc < EARLIEST_UTC_MS:
            self._tell(node, "time", "node %s asks the time, but this gateway's own clock is not set", node)
            return None
        if self._ledger.clock_gone_back(utc) is not None:
            self._tell(
                node, "time", "node %s asks the time, but this gateway's own clock has gone back", node
            )
            return None
        # The node measures how long the answer took; nothing slow may stand before this line.
        arrived.link.send(node, topic.COMMAND, f'{{"v":1,"do":"time","t":{reply.t},"utc":{utc}}}')
        return None

    def _may_be_behind(self, node: str, t_ms: int) -> bool:
        """True in the first hour where the node knows better: it was told the time before this machine was switched off."""
        if time.monotonic() - self._began > CLOCK_SETTLES_S:
            return False
        try:
            behind_ms = self._ledger.clock_behind_ms(node, t_ms, self._now_ms())
        except LedgerError as error:
            if not error.temporary:
                raise
            return False
        if behind_ms <= MAX_AHEAD_MS:
            return False
        self._tell(
            node,
            "time",
            "node %s asks the time, but this gateway's own clock is %s behind what the node was told before",
            node,
            spoken(behind_ms / 1000),
        )
        return True

    def _persist(self, write: Callable[[], None]) -> bool:
        """Does `write`, again and again where the disk is full; False where the gateway ends before it has worked."""
        backoff = Backoff(0.5, 30.0)
        while True:
            try:
                write()
            except LedgerError as error:
                if not error.temporary:
                    raise
                self._outage.fails(error.what, logging.ERROR)
                if self._stop.wait(backoff.next_s()):
                    return False
                continue
            self._outage.works()
            return True

    def _store(self, batches: list[Batch], refusals: list[Refusal]) -> None:
        for ack in self._ledger.store(batches, refusals, now_ms=self._now_ms()):
            self._acknowledge(ack, self._links.get(ack.node))
        for refusal in refusals:
            self._tell_refusal(refusal)

    def _keep(self, crashes: list[tuple[str, CrashReport]]) -> None:
        for crash in self._book.keep_crashes(crashes, self._now_ms()):
            log.warning(
                "node %s: crashed (boot %d, firmware %s): %s",
                crash.node,
                crash.boot,
                printable(crash.firmware or "?"),
                printable(crash.last_line),
            )

    def _acknowledge(self, ack: Ack, link: Link | None) -> None:
        # 0 is said, too: after the loss of a ledger it tells the node to begin anew, and to declare what it has forgotten
        if link is not None:
            link.send(ack.node, topic.ACK, encode_ack(ack.spool, ack.seq), retain=True)

    def _greet(self, link: Link) -> None:
        """A link is open (again): what is retained may be lost with the broker, and a cable retains nothing: it is said again."""
        if link not in self._open:
            self._open.append(link)
        if self._configs is not None:
            for node, text in self._configs.texts():
                if self._links.get(node, link) is link:
                    link.send(node, topic.CONFIG, text, retain=True)
        try:
            acks = self._ledger.acks()
        except LedgerError as error:
            if not error.temporary:
                raise
            self._outage.fails(error.what, logging.ERROR)  # the nodes send again, and are answered then
            return
        for ack in acks:
            if self._links.get(ack.node, link) is link:
                self._acknowledge(ack, link)

    def _tell_refusal(self, refusal: Refusal) -> None:
        try:
            source = "node " + topic.parse(refusal.topic)[0]
        except PayloadError:
            source = "unknown sender"
        self._tell(source, refusal.reason, "%s: refused (%s): %s", source, refusal.reason, refusal.detail)

    def _tell(self, source: str, reason: str, words: str, *values: object) -> None:
        now = time.monotonic()
        if now - self._told.get((source, reason), -TELL_AGAIN_S) >= TELL_AGAIN_S:
            if len(self._told) > MAX_TOLD:
                self._told.clear()
            self._told[source, reason] = now
            log.warning(words, *values)
