"""What a link is: bytes of nodes in, acknowledgements and commands out. Two kinds: `link_mqtt` and `link_serial`.

A link knows nothing of records. It puts each message as an `Arrived` into the one `Inbox` of the gateway, from its
own thread; the ingest thread takes whatever has queued, stores it in one transaction, and only then tells the link
that the message may be forgotten (`receipt`), and the node which of its records are on disk (`send`).
"""

import queue
import threading
from typing import NamedTuple, Protocol

from footfall_core.payload import MAX_BATCH_BYTES

__all__ = ["MAX_KEPT_BYTES", "Arrived", "Inbox", "Link", "Opened"]

INBOX_MESSAGES = (
    10_000  # 20 MB at most; a link that finds the inbox full waits, and its broker or cable with it
)
MAX_KEPT_BYTES = 2 * MAX_BATCH_BYTES  # of one message: enough to see that it is too large, and what it was


class Link(Protocol):
    """One way to nodes. All methods may be called from any thread and return at once."""

    @property
    def name(self) -> str:
        """For the log: `mqtt 127.0.0.1:1883`, `serial /dev/ttyUSB0`."""

    def start(self) -> None:
        """Begins to connect, and keeps at it until `stop`."""

    def stop(self) -> None:
        """Ends the connection in good order; returns when its thread has ended."""

    def receipt(self, arrived: "Arrived") -> None:
        """This message has been dealt with for good: the transport need not bring it again."""

    def send(self, node: str, leaf: str, payload: str, *, retain: bool = False) -> bool:
        """Sends to a node; False if there is no way to it now. What matters is sent again after `Opened`."""


class Arrived(NamedTuple):
    """One message as it came. `payload` is cut after MAX_KEPT_BYTES. `retained`: the broker had it in
    store, it may be old. `mid` and `connection` belong to the link."""

    link: Link
    topic: str
    payload: bytes
    retained: bool = False
    mid: int = 0
    connection: int = 0


class Opened(NamedTuple):
    """A link has (again) a connection: whatever its other end must know for sure is to be sent now."""

    link: Link


class Inbox:
    """The bounded queue between the links and the ingest thread."""

    def __init__(self, messages: int = INBOX_MESSAGES) -> None:
        self._queue: queue.Queue[Arrived | Opened] = queue.Queue(messages)
        self._closed = threading.Event()

    def put(self, item: Arrived | Opened) -> bool:
        """Waits while the inbox is full; False once it is closed (the message stays unacknowledged and comes again)."""
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def take(self, most: int, wait_s: float) -> list[Arrived | Opened]:
        """What has queued, at most `most`; waits up to `wait_s` for the first. Empty if nothing came."""
        try:
            items = [self._queue.get(timeout=wait_s)]
        except queue.Empty:
            return []
        while len(items) < most:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return items

    def close(self) -> None:
        self._closed.set()

    def __len__(self) -> int:
        return self._queue.qsize()
