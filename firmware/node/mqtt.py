"""A small MQTT 3.1.1 client over asyncio streams. app.py builds one; uplink, clock and status publish through it.

Why an own client: docs/mqtt-client-trial.md. It keeps one promise: no wait without a deadline. A broker that stalls,
a network that swallows packets, a malformed answer: each ends the connection with one line that says why, and the
client connects again, later each time. Nothing is queued here and nothing is re-sent: what must arrive is kept by
the spool until the gateway acknowledges it, what is only news (state) is published anew after each connect. So the
session is clean, and what this client holds is bounded: one incoming packet, MAX_UNACKNOWLEDGED numbers.
"""

import asyncio
import errno
import random
import socket
import struct
from time import ticks_diff, ticks_ms

from micropython import const

from node.wake import Wake

MAX_INCOMING_BYTES = const(
    2048
)  # a retained configuration at its largest; longer messages are skipped, and said so
MAX_UNACKNOWLEDGED = const(8)  # published with QoS 1 and not yet confirmed by the broker
RESOLVE_AFTER = const(4)  # failed attempts, before the broker's name is looked up again
FIRST_RETRY_S = const(1)
LONGEST_RETRY_S = const(60)

_CONNACK = const(0x20)
_PUBLISH = const(0x30)
_PUBACK = const(0x40)
_SUBACK = const(0x90)
_PINGRESP = const(0xD0)

_REFUSALS = (
    "",
    "the protocol version",
    "the client name",
    "the connection: it is not available",
    "the user name or password",
    "the password, or this user may not connect",
)


class MqttError(Exception):
    """The connection is over, or there is none; the text says why."""


def _text(value):
    """A text or bytes as MQTT writes them: length, then the bytes."""
    if isinstance(value, str):
        value = value.encode()
    return struct.pack(">H", len(value)) + value


def _packet(head, *parts):
    """One control packet: first byte, remaining length, parts."""
    length = sum(len(part) for part in parts)
    out = bytearray((head,))
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    return b"".join((bytes(out),) + parts)


def why(error):
    """An exception from sockets, TLS or asyncio as words for the console."""
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(error, EOFError):
        return "the broker closed the connection"
    if isinstance(error, OSError) and error.args:
        known = {
            errno.ECONNREFUSED: "nothing listens there",
            errno.ECONNRESET: "connection reset",
            errno.EHOSTUNREACH: "no route to it",
            errno.ENOTCONN: "not connected",
        }
        code = error.args[0]
        if code in known:
            return known[code]
        if isinstance(code, int) and code < 0 and len(error.args) > 1:
            return "TLS: " + str(error.args[1])
    if isinstance(error, ValueError):  # what TLS says of a certificate, over several lines
        return "TLS: " + " ".join(str(error).split())
    return "%s %s" % (type(error).__name__, error)


class Client:
    """One connection to a broker, kept up by `run`.

    tls: an SSLContext, or None for plain TCP. will: (topic, payload), published retained by the broker when the node
    goes without a word. deadline_s: the longest wait for any answer. report(text) prints a line for humans.
    Set before `run`: subscriptions (topics), on_message(topic, payload bytes), on_connect().
    """

    def __init__(
        self, host, port, name, user=None, password=None, tls=None, server_name=None, will=None,
        keepalive_s=30, deadline_s=10, report=print,
    ):  # fmt: skip
        self.subscriptions = ()
        self.on_message = None
        self.on_connect = None
        self.connected = False
        self.connects = 0  # how often a connection came to be since boot
        self.skipped = 0  # incoming messages that were too long
        self.problem = None  # why there is no connection, in words
        self._host = host
        self._port = port
        self._name = name
        self._user = user
        self._password = password
        self._tls = tls
        self._server_name = server_name or host
        self._will = will
        self._keepalive_s = keepalive_s
        self._deadline_ms = deadline_s * 1000
        self._report = report
        self._address = None  # kept, because getaddrinfo blocks everything else, counting included
        self._failures = 0  # attempts in a row that did not reach a broker
        self._stream = None
        self._writing = asyncio.Lock()
        self._unacknowledged = {}  # packet number -> tick of sending
        self._room = asyncio.Event()
        self._broken = Wake()
        self._failure = None
        self._last_number = 0
        self._written_at = 0
        self._ping_at = None  # tick of the ping that is not answered yet
        self._reading_since = None  # tick at which a packet began that is not complete yet
        self._retry_s = FIRST_RETRY_S

    # ---- for the node's modules

    async def publish(self, topic, payload, qos=1, retain=False):
        """Hand a message to the connection. Raises MqttError where that is not possible within the deadline.

        Returning means written, not delivered. With QoS 1 the broker's confirmation is watched: if it stays out, the
        connection ends.
        """
        if not self.connected:
            raise MqttError("not connected")
        if not qos:
            await self._write(_packet(_PUBLISH | retain, _text(topic), payload))
            return
        while len(self._unacknowledged) >= MAX_UNACKNOWLEDGED:
            self._room.clear()
            try:
                await asyncio.wait_for_ms(self._room.wait(), self._deadline_ms)
            except asyncio.TimeoutError:
                raise MqttError("the broker confirms nothing") from None
            if not self.connected:
                raise MqttError("not connected")
        number = self._next_number()
        self._unacknowledged[number] = ticks_ms()
        await self._write(_packet(_PUBLISH | 2 | retain, _text(topic), struct.pack(">H", number), payload))

    def reconnect(self, reason):
        """End this connection, for `reason`, and connect anew."""
        self._fail(MqttError(reason))

    # ---- the life of a connection

    async def run(self, network_is_up):
        """Connect, stay, connect again; for ever. network_is_up() tells whether trying makes sense."""
        while True:
            if not network_is_up():
                await asyncio.sleep_ms(250)
                continue
            try:
                await self._session()
            except (OSError, EOFError, ValueError, MqttError, asyncio.TimeoutError) as error:
                self._failure = error
            reason = str(self._failure) if isinstance(self._failure, MqttError) else why(self._failure)
            self.problem = reason
            pause_ms = self._retry_s * 1000
            pause_ms = (
                pause_ms // 2 + random.getrandbits(16) * pause_ms // 65536
            )  # not all nodes at the same moment
            self._retry_s = min(self._retry_s * 2, LONGEST_RETRY_S)
            self._report(
                "broker %s:%d: %s; trying again in %.1f s" % (self._host, self._port, reason, pause_ms / 1000)
            )
            await asyncio.sleep_ms(pause_ms)

    async def _session(self):
        self._failure = None
        self._failures += 1
        self._broken.clear()
        sock = None
        reader = None
        try:
            sock = self._open()
            self._stream = asyncio.StreamReader(sock)
            await asyncio.wait_for_ms(self._greet(), self._deadline_ms)
            reader = asyncio.create_task(self._read_packets())
            self.connected = True
            self.connects += 1
            self.problem = None
            self._failures = 0
            if self.on_connect:
                self.on_connect()
            await self._watch()
        finally:
            self.connected = False
            self._stream = None
            self._unacknowledged.clear()
            self._room.set()
            if reader:
                reader.cancel()
            if sock:
                sock.close()

    def _open(self):
        """A socket on its way to the broker."""
        if self._address is None or self._failures >= RESOLVE_AFTER:
            self._failures = 0
            self._address = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)[0]
        family, kind, protocol, _, address = self._address
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            try:
                sock.connect(address)
            except OSError as error:
                if error.args[0] != errno.EINPROGRESS:
                    raise
            if not self._tls:
                return sock
            wrapped = self._tls.wrap_socket(
                sock, server_hostname=self._server_name, do_handshake_on_connect=False
            )
            wrapped.setblocking(False)
            return wrapped
        except Exception:
            sock.close()
            raise

    async def _greet(self):
        """CONNECT and CONNACK, SUBSCRIBE and SUBACK."""
        flags = 2  # clean session
        parts = [_text(self._name)]
        if self._will:
            flags |= 0x2C  # will, QoS 1, retained
            parts += [_text(self._will[0]), _text(self._will[1])]
        if self._user is not None:
            flags |= 0x80
            parts.append(_text(self._user))
            if self._password is not None:
                flags |= 0x40
                parts.append(_text(self._password))
        self._stream.out_buf = _packet(
            0x10, b"\x00\x04MQTT\x04", struct.pack(">BH", flags, self._keepalive_s), *parts
        )  # not write(): the socket may still be connecting, drain() waits until it can take bytes
        await self._stream.drain()
        _, body = await self._read_packet(_CONNACK)
        if len(body) != 2:
            raise MqttError("answers, but not as an MQTT broker")
        if body[1]:
            self._retry_s = max(self._retry_s, 5)  # nothing will change within a second
            raise MqttError(
                "broker refused " + (_REFUSALS[body[1]] if body[1] < len(_REFUSALS) else "code %d" % body[1])
            )
        if self.subscriptions:
            await self._subscribe()

    async def _subscribe(self):
        number = self._next_number()
        parts = [struct.pack(">H", number)]
        for topic in self.subscriptions:
            parts += [_text(topic), b"\x01"]
        self._stream.write(_packet(0x82, *parts))
        await self._stream.drain()
        while True:
            head, body = await self._read_packet()
            if head == _SUBACK:
                break
            confirm = self._handle(head, body)  # retained messages may come first
            if confirm:
                await self._write(_packet(_PUBACK, confirm))
        if len(body) != 2 + len(self.subscriptions) or struct.unpack(">H", body)[0] != number:
            raise MqttError("sent a wrong answer to our subscriptions")
        for topic, code in zip(self.subscriptions, body[2:]):
            if code > 1:
                raise MqttError("broker refused the subscription to %s: see its access list" % topic)

    async def _watch(self):
        """Look at the connection now and then until something is overdue or broken; returns with self._failure set.

        What is overdue is noticed half its deadline late at the most; the processor sleeps meanwhile.
        """
        self._written_at = ticks_ms()
        self._ping_at = None
        began = ticks_ms()
        while not self._failure:
            await self._broken.within(min(self._deadline_ms, self._keepalive_s * 500) // 2)
            now = ticks_ms()
            if ticks_diff(now, began) > 10000:
                self._retry_s = FIRST_RETRY_S  # this connection was a real one
            if self._overdue(self._ping_at, now):
                self._fail(MqttError("does not answer pings"))
            elif self._overdue(self._reading_since, now):
                self._fail(MqttError("stopped in the middle of a packet"))
            elif any(self._overdue(sent_at, now) for sent_at in self._unacknowledged.values()):
                self._fail(MqttError("does not confirm what was sent"))
            elif self._ping_at is None and ticks_diff(now, self._written_at) > self._keepalive_s * 500:
                self._ping_at = now
                try:
                    await self._write(b"\xc0\x00")
                except MqttError:
                    pass  # _write has called _fail

    def _overdue(self, since, now):
        return since is not None and ticks_diff(now, since) > self._deadline_ms

    def _fail(self, error):
        if not self._failure:
            self._failure = error
        self.connected = False
        self._broken.set()

    # ---- packets

    def _next_number(self):
        while True:
            self._last_number = self._last_number % 65535 + 1
            if self._last_number not in self._unacknowledged:
                return self._last_number

    async def _write(self, packet):
        """Write one packet whole, within the deadline; or the connection is over and MqttError says why."""
        try:
            await asyncio.wait_for_ms(self._write_alone(packet), self._deadline_ms)
        except asyncio.TimeoutError:
            self._fail(MqttError("takes no more bytes"))
        except (OSError, ValueError) as error:
            self._fail(error)
        if self._failure:
            raise MqttError("connection lost")

    async def _write_alone(self, packet):
        async with self._writing:
            if self._failure or not self._stream:
                return
            self._stream.write(packet)
            await self._stream.drain()
            self._written_at = ticks_ms()

    async def _read_packets(self):
        try:
            while True:
                head, body = await self._read_packet()
                number = self._handle(head, body)
                if number:
                    await self._write(_packet(_PUBACK, number))
        except asyncio.CancelledError:
            raise
        except (
            Exception
        ) as error:  # whatever it is, this connection is over; run() says why and makes a new one
            self._fail(error)

    async def _read_packet(self, only=None):
        """(first byte, the rest) of the next packet; the rest is None for a message that is too long to take.

        only: the first byte of the only packet that makes sense now.
        """
        self._reading_since = None
        head = (await self._stream.readexactly(1))[0]
        if only and head != only:
            raise MqttError("answers, but not as an MQTT broker")
        self._reading_since = ticks_ms()
        length = shift = 0
        while True:
            byte = (await self._stream.readexactly(1))[0]
            length |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 21:
                raise MqttError("sent a malformed packet")
        if length > MAX_INCOMING_BYTES:
            body = await self._skip(head, length)
        else:
            body = await self._stream.readexactly(length) if length else b""
        self._reading_since = None
        return head, body

    async def _skip(self, head, length):
        """Read past a message that is too long; its beginning is kept, so that it can be confirmed and named."""
        if head & 0xF0 != _PUBLISH:
            raise MqttError("sent a packet of %d bytes" % length)
        kept = b""
        while length:
            part = await self._stream.readexactly(min(length, 128))
            self._reading_since = ticks_ms()  # it moves on
            length -= len(part)
            if len(kept) < 128:
                kept += part
        self.skipped += 1
        topic, number, _ = self._take_apart(head, kept)
        self._report("message on %s is longer than %d bytes: skipped" % (topic, MAX_INCOMING_BYTES))
        if number:
            await self._write(_packet(_PUBACK, number))

    def _take_apart(self, head, body):
        """(topic, packet number or None, payload) of a PUBLISH."""
        try:
            end = 2 + struct.unpack(">H", body)[0]
            topic = str(body[2:end], "utf-8")
            if head & 6 == 0 and end <= len(body):
                return topic, None, body[end:]
            if head & 6 == 2 and end + 2 <= len(body):
                return topic, body[end : end + 2], body[end + 2 :]
        except (ValueError, UnicodeError):
            pass
        raise MqttError("sent a malformed message")

    def _handle(self, head, body):
        """Deal with one packet. Returns the number to confirm, as bytes, or None."""
        kind = head & 0xF0
        if kind == _PUBLISH:
            if body is None:
                return None
            topic, number, payload = self._take_apart(head, body)
            try:
                self.on_message(topic, payload)
            except Exception as error:  # a message that our own code cannot take must not cost the connection
                self._report("message on %s: %s %s" % (topic, type(error).__name__, error))
            return number
        if head == _PUBACK and len(body) == 2:
            self._unacknowledged.pop(struct.unpack(">H", body)[0], None)
            self._room.set()
        elif head == _PINGRESP and not body:
            self._ping_at = None
        else:
            raise MqttError("sent a packet that makes no sense here (0x%02x)" % head)
        return None
