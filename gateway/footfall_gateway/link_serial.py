"""A node on a USB cable: the same messages as over MQTT, one a line, with a checksum.

The line, in both directions:

    <leaf> <json>*<crc>\\n

`leaf` is the last part of the MQTT topic (`records`, `state`, `reply` from the node; `ack`, `config`, `command` to
it), `json` is exactly the payload that MQTT would carry, on one line, and `crc` is the CRC-32 (IEEE, as in zlib and
`binascii.crc32`) of all bytes before the `*`, as 8 small hexadecimal digits. Example:

    ack {"v":1,"spool":"8f3a01c2","seq":1090}*c31a91b6

The `*` that counts is the ninth byte from the end. `\\r` before `\\n` is allowed. The node's name is not in the line:
it is in the settings, beside the port. A line that does not begin with a leaf and ` {` is console text of the board
(boot messages, a traceback) and goes to the log at level debug. A line that does, but whose checksum is wrong, is
counted and forgotten: the node sends its records again until they are acknowledged.

pyserial reads in a thread of its own; a port that vanishes is opened again when it is back.
"""

import binascii
import errno
import logging
import threading
from collections.abc import Callable, Iterator

import serial

from footfall_core import topic
from footfall_gateway.link import MAX_KEPT_BYTES, Arrived, Inbox, Opened
from footfall_gateway.outage import Backoff, Outage
from footfall_gateway.serial_ports import NO_SERIAL_PORT, group_of, other_ports, user, users_of
from footfall_gateway.settings import SerialSettings

__all__ = ["Lines", "SerialLink", "decode_line", "encode_line", "try_port"]

FROM_NODE = (topic.RECORDS, topic.STATE, topic.REPLY)
MAX_LINE_BYTES = MAX_KEPT_BYTES + 64  # a longer one is noise: it is dropped up to its end
READ_TIMEOUT_S = 0.5  # how soon `stop` is noticed
WRITE_TIMEOUT_S = 2.0  # a board that hangs must not hold up the gateway
RETRY_FIRST_S, RETRY_LIMIT_S = 0.5, 10.0
TELL_DAMAGED_EVERY = 100  # of the damaged lines, the first and then every hundredth is a line in the log

log = logging.getLogger(__name__)


def encode_line(leaf: str, payload: str) -> bytes:
    """One line for the cable, with its end. `payload` must not contain a line break (compact JSON does not)."""
    body = f"{leaf} {payload}".encode()
    return body + b"*%08x\n" % binascii.crc32(body)


def decode_line(line: bytes) -> tuple[str, bytes] | None:
    """(leaf, payload) of a line without its end; None for console text. ValueError if the line is damaged."""
    leaf, _, rest = line.partition(b" ")
    if not rest.startswith(b"{") or leaf.decode("ascii", "replace") not in topic.LEAVES:
        return None
    body, star, crc = line[:-9], line[-9:-8], line[-8:]
    if star != b"*" or crc != b"%08x" % binascii.crc32(body):
        raise ValueError("checksum does not fit")
    return leaf.decode("ascii"), body[len(leaf) + 1 :]


class Lines:
    """Cuts a stream of bytes into lines; a line above MAX_LINE_BYTES is left out whole. Memory stays bounded."""

    def __init__(self) -> None:
        self._rest = b""
        self._dropping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        *whole, rest = (self._rest + data).split(b"\n")
        for line in whole:
            if self._dropping or len(line) > MAX_LINE_BYTES:
                self._dropping = False
            elif line:
                yield line.removesuffix(b"\r")
        if self._dropping or len(rest) > MAX_LINE_BYTES:
            self._dropping = True
            rest = b""
        self._rest = rest


class SerialLink:
    """The cable to one node. `crashed` is called with an exception that nothing expected."""

    def __init__(
        self, settings: SerialSettings, inbox: Inbox, crashed: Callable[[BaseException], None]
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._crashed = crashed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"serial-{settings.node}", daemon=True)
        self._port: serial.Serial | None = None
        self._writing = threading.Lock()
        self._outage = Outage(self.name, log)
        self.damaged = 0

    @property
    def name(self) -> str:
        return f"serial port {self._settings.port} (node {self._settings.node})"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(READ_TIMEOUT_S + WRITE_TIMEOUT_S + 1)

    def receipt(self, arrived: Arrived) -> None:
        """A cable keeps nothing: there is nothing to release."""

    def send(self, node: str, leaf: str, payload: str, *, retain: bool = False) -> bool:  # noqa: ARG002
        port = self._port
        if port is None or node != self._settings.node:
            return False
        try:
            with self._writing:
                port.write(encode_line(leaf, payload))
        except (serial.SerialException, OSError, TypeError, AttributeError):
            return False  # the reader meets the same trouble, says so and opens the port again
        return True

    def _run(self) -> None:
        backoff = Backoff(RETRY_FIRST_S, RETRY_LIMIT_S)
        try:
            while not self._stop.is_set():
                try:
                    self._converse(backoff)
                except (serial.SerialException, OSError, TypeError, AttributeError) as error:
                    # pyserial raises TypeError or AttributeError when a port is torn away in the middle of a call
                    self._outage.fails(trouble(error, self._settings.port))
                    self._stop.wait(backoff.next_s())
        except Exception as error:  # noqa: BLE001 - a thread must not end unseen
            self._crashed(error)

    def _converse(self, backoff: Backoff) -> None:
        port = _opened(self._settings)
        try:
            self._port = port
            self._outage.works()
            log.info("%s: open", self.name)
            self._inbox.put(Opened(self))
            lines = Lines()
            while not self._stop.is_set():
                data = port.read(max(1, min(port.in_waiting, 65_536)))
                if data:
                    backoff.reset()  # only a port that brings bytes is well again
                for line in lines.feed(data):
                    self._take(line)
        finally:
            self._port = None
            port.close()

    def _take(self, line: bytes) -> None:
        try:
            message = decode_line(line)
        except ValueError:
            self.damaged += 1
            if self.damaged % TELL_DAMAGED_EVERY == 1:
                log.warning(
                    "%s: damaged line (%d so far), the node will send it again: %s",
                    self.name,
                    self.damaged,
                    ascii(line[:60].decode("utf-8", "replace")),
                )
            return
        if message is None or message[0] not in FROM_NODE:
            log.debug("%s: %s", self.name, ascii(line[:200].decode("utf-8", "replace")))
            return
        leaf, payload = message
        self._inbox.put(Arrived(self, topic.of(self._settings.node, leaf), payload[:MAX_KEPT_BYTES]))


def try_port(settings: SerialSettings) -> str | None:
    """Opens the port once and closes it; why that did not work, or None. The board is not reset by it."""
    try:
        _opened(settings).close()
    except (serial.SerialException, OSError) as error:
        return trouble(error, settings.port)
    return None


def _opened(settings: SerialSettings) -> serial.Serial:
    port = serial.Serial()
    port.port = settings.port
    port.baudrate = settings.baud
    port.timeout = READ_TIMEOUT_S
    port.write_timeout = WRITE_TIMEOUT_S
    port.exclusive = True  # a terminal program on the same port would eat half of the bytes
    port.dtr = False  # on most boards DTR and RTS are wired to reset and boot mode
    port.rts = False
    port.open()
    return port


def trouble(error: BaseException, port: str) -> str:
    """Why the port does not work, in words that say what to look at, with what is known of it here."""
    number = getattr(error, "errno", None)
    text = str(error)
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "No such file" in text:
        return "not there; is the cable plugged in?" + _instead_of(port)
    if number == errno.EACCES or "Permission denied" in text:
        who, group = user(), group_of(port)
        return (
            f"no permission; the user {who} must be in the group {group}: as root `adduser {who} {group}`, then start "
            "the gateway again"
        )
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in text:
        users = users_of(port)
        return "in use by another program" + (f": {', '.join(users)}" if users else "")
    if isinstance(error, TypeError | AttributeError) or "disconnected" in text or number == errno.EIO:
        return "unplugged"
    if NO_SERIAL_PORT in text:
        return "this is no serial port"
    return text.lower() or type(error).__name__


def _instead_of(port: str) -> str:
    others = other_ports(port)
    if not others:
        return ""
    return (
        f" There is {', '.join(others)}: if that is the board, set `port` to it, best to a name under /dev/serial/by-id, "
        "which stays the same"
    )
