"""The MQTT client on the real MicroPython against brokers that misbehave: each fault ends in a line that says what, the
client connects again, and nothing else on the board is held up."""

import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

CONNACK = b"\x20\x02\x00\x00"
PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, CONNECT = 0x30, 0x40, 0x80, 0xC0, 0x10
HOLD_MS = 60_000  # longer than any deadline of the client
ENOUGH_TICKS = 20  # of 10 ms, while the client waits for a deadline of three seconds
LONG_S = 60  # most end long before
DEADLINE_S = 3  # where it is what is waited for; longer than this machine makes anybody wait
PATIENT_S = 20  # where it is not

# The client in the middle of a board's other work: a task that ticks every 10 ms, and one that publishes.
DEVICE = """
import asyncio, time
from node import mqtt
port, seconds, deadline_s = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
publishes, wanted = sys.argv[4:] == ["publish"], int(sys.argv[4]) if sys.argv[4:5] not in ([], ["publish"]) else 0
reports = []
ticks = 0
connects = []
received = []
refused = sent = 0
async def tick():
    global ticks
    while True:
        await asyncio.sleep_ms(10)
        ticks += 1
def report(text):
    reports.append([text, ticks])
client = mqtt.Client("127.0.0.1", port, "ff-test", "node", "right", None, None, ("t/state", "off"), 5, deadline_s, report)
client.subscriptions = ("t/ack", "t/config")
def on_message(topic, payload):
    if payload == b"bad":
        raise KeyError("our own fault")
    received.append([topic, len(payload)])
client.on_message = on_message
client.on_connect = lambda: connects.append(ticks)
async def publish():
    global refused, sent
    while True:
        await asyncio.sleep_ms(50)
        try:
            await client.publish("t/records", b"x" * 1500)
            sent += 1
        except mqtt.MqttError:
            refused += 1
async def main():
    asyncio.create_task(tick())
    asyncio.create_task(client.run(lambda: True))
    if publishes:
        asyncio.create_task(publish())
    for _ in range(seconds * 20):
        await asyncio.sleep_ms(50)
        if wanted and len(received) == wanted:
            await asyncio.sleep(1)  # no more may come
            break
        if not reports or wanted:
            continue
        if "refused" in reports[-1][0] or connects and connects[-1] > reports[-1][1]:
            break  # refused (it tries again, but not soon); or left, and connected anew
    show({"reports": reports, "ticks": ticks, "connects": len(connects), "received": received,
          "sent": sent, "refused": refused, "waiting": len(client._unacknowledged), "skipped": client.skipped})
asyncio.run(main())
"""


def publication(topic: bytes, payload: bytes, number: int | None = None) -> bytes:
    body = struct.pack(">H", len(topic)) + topic
    head = PUBLISH
    if number is not None:
        body += struct.pack(">H", number)
        head |= 2
    body += payload
    length = len(body)
    out = bytes([head])
    while length > 127:
        out += bytes([length & 127 | 128])
        length >>= 7
    return out + bytes([length]) + body


class Peer:
    """One connection of the client, seen from the broker."""

    def __init__(self, conn: socket.socket) -> None:
        self.conn = conn
        conn.settimeout(LONG_S)

    def send(self, data: bytes) -> None:
        self.conn.sendall(data)

    def read(self) -> tuple[int, bytes]:
        """The next packet: first byte, body; OSError at the end."""
        head = self._exactly(1)[0]
        length = shift = 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return head, self._exactly(length)

    def _exactly(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            part = self.conn.recv(n - len(data))
            if not part:
                raise OSError("closed")
            data += part
        return data

    def greet(self) -> None:
        """As a broker should: CONNACK, SUBACK."""
        assert self.read()[0] == CONNECT
        self.send(CONNACK)
        head, body = self.read()
        assert head & 0xF0 == SUBSCRIBE
        self.send(b"\x90\x04" + body[:2] + b"\x01\x01")

    def serve(self) -> None:
        """Confirm and pong until the client is gone."""
        while True:
            head, body = self.read()
            if head & 0xF0 == PUBLISH and head & 6:
                at = 2 + struct.unpack(">H", body[:2])[0]
                self.send(bytes([PUBACK, 2]) + body[at : at + 2])
            elif head == PINGREQ:
                self.send(b"\xd0\x00")

    def hold(self) -> None:
        """Read nothing, say nothing, until the client hangs up."""
        hung_up = select.poll()
        hung_up.register(self.conn, select.POLLRDHUP)
        hung_up.poll(HOLD_MS)


def wait_for(condition: Callable[[], bool]) -> None:
    """What a broker's thread has received, it may not have read yet."""
    end = time.monotonic() + LONG_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


@pytest.fixture
def broker() -> Iterator[Callable[[Callable[[Peer], Any]], int]]:
    """Start a broker that treats its first connection as given and every later one well; its port."""
    stopping = threading.Event()
    listeners = []
    threads = []

    def begin(target: Callable[..., None], *arguments: Any) -> None:
        threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        threads[-1].start()

    def start(first: Callable[[Peer], Any]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def talk(conn: socket.socket, behave: Callable[[Peer], Any]) -> None:
            with conn:
                try:
                    behave(Peer(conn))
                except (OSError, AssertionError):
                    return  # the client hung up, or did what it should not: its own report tells

        def well(peer: Peer) -> None:
            peer.greet()
            peer.serve()

        def accept() -> None:
            behave = first
            while not stopping.is_set():
                try:
                    conn, _ = listener.accept()
                except OSError:
                    continue
                begin(talk, conn, behave)
                behave = well

        begin(accept)
        return listener.getsockname()[1]

    yield start
    stopping.set()
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(HOLD_MS / 1000)
        assert not thread.is_alive()
    for listener in listeners:
        listener.close()


def greeted(then: Callable[[Peer], Any]) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        peer.greet()
        then(peer)
        peer.serve()

    return behave


def be_a_web_server(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    peer.hold()


def refuse(code: int) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        peer.read()
        peer.send(b"\x20\x02\x00" + bytes([code]))
        peer.hold()

    return behave


def refuse_subscription(peer: Peer) -> None:
    peer.read()
    peer.send(CONNACK)
    _, body = peer.read()
    peer.send(b"\x90\x04" + body[:2] + b"\x01\x80")
    peer.hold()


FAULTS = {
    "says nothing": (Peer.hold, "no answer in time"),
    "hangs up": (Peer.read, "the broker closed the connection"),
    "refuses the version": (refuse(1), "broker refused the protocol version"),
    "refuses the name": (refuse(2), "broker refused the client name"),
    "is not available": (refuse(3), "broker refused the connection: it is not available"),
    "refuses user or password": (refuse(4), "broker refused the user name or password"),
    "refuses the password": (refuse(5), "broker refused the password"),
    "refuses with an unknown code": (refuse(77), "broker refused code 77"),
    "is a web server": (be_a_web_server, "answers, but not as an MQTT broker"),
    "refuses a subscription": (refuse_subscription, "refused the subscription to t/config"),
    "sends an endless length": (greeted(lambda p: p.send(b"\x30\xff\xff\xff\xff\xff")), "sent a malformed packet"),
    "sends a huge packet of another kind": (greeted(lambda p: p.send(b"\x90\xff\xff\x7f")), "sent a packet of 2097151 bytes"),
    "sends a topic beyond the packet": (greeted(lambda p: p.send(b"\x30\x04\xff\xffab")), "sent a malformed message"),
    "sends a topic that is no text": (greeted(lambda p: p.send(b"\x30\x05\x00\x02\xff\xfex")), "sent a malformed message"),
    "sends QoS 2": (greeted(lambda p: p.send(b"\x34\x06\x00\x01a\x00\x01x")), "sent a malformed message"),
    "sends an empty message packet": (greeted(lambda p: p.send(b"\x30\x00")), "sent a malformed message"),
    "sends a packet of no kind": (greeted(lambda p: p.send(b"\xf0\x00")), "makes no sense here"),
    "stops inside a packet": (greeted(lambda p: (p.send(b"\x30\x20\x00\x05t/ack"), p.hold())), "stopped in the middle of a packet"),
    "cuts inside a packet": (greeted(lambda p: (p.send(b"\x30\x20\x00\x05t/ack"), p.conn.close())), "closed the connection"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broker_that(run_on_board, broker, fault):
    behave, reason = FAULTS[fault]
    port = broker(behave)
    overdue = reason in ("no answer in time", "stopped in the middle of a packet")
    seen = run_on_board(DEVICE, port, LONG_S, DEADLINE_S if overdue else PATIENT_S)
    first_report, ticks = seen["reports"][0]
    assert re.search(reason, first_report), seen["reports"]
    assert "trying again" in first_report
    assert seen["connects"] >= 1 or "refused" in reason, seen
    if overdue:
        assert ticks > ENOUGH_TICKS, "other tasks were held up"


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (greeted(lambda peer: [peer.read() for _ in range(10**6)]), "does not confirm what was sent"),
        (greeted(Peer.hold), "takes no more bytes|does not confirm what was sent"),
    ],
    ids=["never confirms", "never reads"],
)
def test_a_broker_that_stalls_is_left_and_nothing_piles_up(run_on_board, broker, behave, reason):
    seen = run_on_board(DEVICE, broker(behave), LONG_S, DEADLINE_S, "publish")
    report, ticks = seen["reports"][0]
    assert re.search(reason, report), seen["reports"]
    assert ticks > ENOUGH_TICKS
    assert seen["connects"] >= 2
    assert seen["waiting"] <= 8
    assert seen["sent"] > 0


def test_a_broker_that_answers_no_ping_is_left(run_on_board, broker):
    pings = []

    def deaf(peer: Peer) -> None:
        while True:
            pings.append(peer.read()[0])

    seen = run_on_board(DEVICE, broker(greeted(deaf)), LONG_S, DEADLINE_S)
    wait_for(lambda: PINGREQ in pings)
    assert pings.count(PINGREQ) == 1
    assert "does not answer pings" in seen["reports"][0][0]
    assert seen["connects"] >= 2


def test_a_quiet_connection_is_kept_with_pings(run_on_board, broker):
    seconds = 11  # a ping after 2.5, DEADLINE_S for its answer, and as long again until that is looked at
    seen = run_on_board(DEVICE, broker(greeted(lambda _peer: None)), seconds, DEADLINE_S)
    assert seen["reports"] == []
    assert seen["connects"] == 1


def test_messages_of_both_qualities_are_taken_and_confirmed_even_if_too_long_or_unbearable(
    run_on_board, broker
):
    confirmed = []

    def send(peer: Peer) -> None:
        peer.send(publication(b"t/ack", b"one"))
        peer.send(publication(b"t/ack", b"two", 7))
        peer.send(publication(b"t/config", b"x" * 50_000, 8))
        peer.send(publication(b"t/config", b"bad", 9))
        peer.send(publication(b"t/config", b"x" * 2000, 10))
        while len(confirmed) < 4:
            head, body = peer.read()
            if head == PUBACK:
                confirmed.append(struct.unpack(">H", body)[0])

    seen = run_on_board(DEVICE, broker(greeted(send)), LONG_S, PATIENT_S, 3)
    wait_for(lambda: len(confirmed) >= 4)
    assert confirmed == [7, 8, 9, 10]
    assert seen["received"] == [["t/ack", 3], ["t/ack", 3], ["t/config", 2000]]
    assert seen["skipped"] == 1
    assert [text for text, _ in seen["reports"]] == [
        "message on t/config is longer than 2048 bytes: skipped",
        "message on t/config: KeyError our own fault",
    ]
    assert seen["connects"] == 1


def test_a_retained_message_may_come_before_the_subscription_is_confirmed(run_on_board, broker):
    def eager(peer: Peer) -> None:
        peer.read()
        peer.send(CONNACK)
        _, body = peer.read()
        peer.send(publication(b"t/ack", b"retained", 3) + b"\x90\x04" + body[:2] + b"\x01\x01")
        assert peer.read() == (PUBACK, b"\x00\x03")
        peer.serve()

    seen = run_on_board(DEVICE, broker(eager), LONG_S, PATIENT_S, 1)
    assert seen["received"] == [["t/ack", 8]]
    assert seen["reports"] == []
