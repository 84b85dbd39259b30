"""Talking with one node, over its USB cable or over the broker: commands and their answers, and what it says meanwhile.

Used by `footfall node`, `footfall accept`, `footfall flash` and `footfall update`. Neither way interrupts the counting:

    with UsbLink("/dev/ttyUSB0") as node:             # or MqttLink(settings.mqtt, password, "ff-3c71bf4a")
        print(node.name, node.command("info")["fw"])
        while (event := node.next_event(1.0)) is not None:
            ...                                        # ConsoleLine, Passage, BeamFault, NodeState

Everything that can go wrong is a `NodeError`: one sentence that says what, and one that says what to do.
"""

import contextlib
import json
import re
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec
import paho.mqtt.client as paho
import serial
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from footfall_core import topic
from footfall_core.payload import MAX_BATCH_BYTES, VERSION, PayloadError
from footfall_core.record import FAULT, PASSAGE
from footfall_gateway.commissioning import CommissioningError, ports
from footfall_gateway.commissioning.language import told, tr
from footfall_gateway.ingest import BadRecord, read_batch
from footfall_gateway.link_mqtt import ENDED_AT_ONCE, failure, identify, leave, refusal
from footfall_gateway.link_serial import Lines, decode_line, encode_line
from footfall_gateway.settings import MqttSettings, Secret

__all__ = [
    "BeamFault",
    "CommandRefusedError",
    "ConsoleLine",
    "Event",
    "MqttLink",
    "NoAnswerError",
    "NodeError",
    "NodeLink",
    "NodeReply",
    "NodeState",
    "OfflineError",
    "Passage",
    "UsbLink",
    "retained_states",
]

ANSWER_S = 10.0  # for a command that takes no time on the node
GREET_S = (
    15.0  # a board that the opening of its port has restarted needs 3 s, one that also compiles needs 10
)
AGAIN_S = 2.0  # a line may be damaged: a question is asked again after this, an order is not
QUESTIONS = frozenset({"info", "log"})
STATE_S = 3.0  # for the broker to hand out a retained state
CONNECT_S = 10.0
EVENTS_KEPT = 10_000
MAX_COMMAND_BYTES = MAX_BATCH_BYTES  # longer ones a node skips

_PASSAGE = re.compile(r"passage t=(\d+) barrier=(\d+) (in|out|unknown) transit=(\d+)")
_FAULT = re.compile(r"door (\d+): (outer|inner) beam (is blocked|is free again)")
_DIRECTIONS = {"in": 1, "out": -1, "unknown": 0}


class NodeError(CommissioningError):
    """Talking with a node failed; the words say what happened and what to do."""

    @property
    def message(self) -> str:
        """The words."""
        return str(self)


class NoAnswerError(NodeError):
    """The node did not answer in time."""


class OfflineError(NodeError):
    """The broker holds the node for offline."""


class CommandRefusedError(NodeError):
    """The node answered that it cannot; `error` has its own words, `unknown` tells that it does not know the command."""

    def __init__(self, node: str, do: str, error: str) -> None:
        self.error = error
        self.unknown = error == "unknown command"
        super().__init__(
            tr(
                '{node}: its firmware does not know the command "{do}", it is older than this program; bring it up to date '
                "with `footfall update send` or `footfall flash`",
                node=node,
                do=do,
            )
            if self.unknown
            else tr("{node} refuses {do}: {error}", node=node, do=do, error=told(error))
        )


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """A line of the board's console (over USB only)."""

    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """Someone passed. direction: 1 in, -1 out, 0 unknown (one beam). t_ms: since the node's boot."""

    barrier: int
    direction: int
    t_ms: int
    transit_ms: int


@dataclass(frozen=True, slots=True)
class BeamFault:
    """A beam is obstructed for too long (begins), or free again."""

    barrier: int
    beam: int  # 0 outer, 1 inner
    begins: bool


@dataclass(frozen=True, slots=True)
class NodeState:
    """The state topic's content (over the broker, and from a node in serial mode)."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeReply:
    """A message on the reply topic for which no `command` waits: an answer to `tell`, or the node's own question."""

    values: Mapping[str, Any]


Event = ConsoleLine | Passage | BeamFault | NodeState | NodeReply


class NodeLink(ABC):
    """One node. `name` is the node's name, `where` it is in words, `way` the same as said after "over". Methods are for one thread."""

    name: str
    where: str
    way: str

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._replies: dict[str, dict[str, Any]] = {}
        self._waiting: set[str] = set()
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._failed: str | None = None  # why the link is over

    def command(self, do: str, *, within_s: float = ANSWER_S, **values: object) -> dict[str, Any]:
        """Send a command and await its answer. NoAnswerError, CommandRefusedError, or NodeError where the link is over."""
        number = secrets.token_hex(4)
        text = json.dumps({"v": VERSION, "do": do, "id": number, **values}, separators=(",", ":"))
        if len(text.encode()) > MAX_COMMAND_BYTES:
            raise NodeError(
                tr(
                    "{do}: {size} bytes are more than a node takes ({most})",
                    do=do,
                    size=len(text.encode()),
                    most=MAX_COMMAND_BYTES,
                )
            )
        self._waiting.add(number)
        try:
            reply = self._ask(do, number, text, within_s)
        finally:
            self._waiting.discard(number)
            self._replies.pop(number, None)
        if reply is None:
            raise NoAnswerError(self._silence(do, within_s))
        if "error" in reply:
            raise CommandRefusedError(self.name, do, str(reply["error"]))
        return reply

    def tell(self, values: Mapping[str, object]) -> None:
        """Send a command without waiting; what the node answers comes as a `NodeReply`."""
        self._send_command(json.dumps({"v": VERSION, **values}, separators=(",", ":")))

    def next_event(self, within_s: float) -> Event | None:
        """What the node said next; None where nothing comes `within_s` seconds. NodeError where the link is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._failed, within_s)
            if self._events:
                return self._events.popleft()
            if self._failed:
                raise NodeError(f"{self.where}: {self._failed}")
            return None

    def log(self, since: int = 0, of: str = "console") -> tuple[str, int]:
        """(text, where to go on) of the node's last console lines from byte `since` on; of="crash": its last crashes."""
        text, more = "", True
        while more:
            part = self.command("log", of=of, **{"from": since})
            text, since, more = text + part["text"], int(part["next"]), bool(part["more"])
        return text, since

    @abstractmethod
    def send_config(self, text: str) -> None:
        """Hand the node a configuration (docs/wire.md); over the broker it is retained there."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the port or the broker."""

    @abstractmethod
    def _send_command(self, text: str) -> None: ...

    @abstractmethod
    def _silence(self, do: str, within_s: float) -> str:
        """In words: there was no answer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, do: str, number: str, text: str, within_s: float) -> dict[str, Any] | None:
        until = time.monotonic() + within_s
        while (left := until - time.monotonic()) > 0:
            self._send_command(text)
            with self._changed:
                self._changed.wait_for(
                    lambda: number in self._replies or self._failed,
                    min(left, AGAIN_S) if do in QUESTIONS else left,
                )
                if number in self._replies:
                    return self._replies[number]
                if self._failed:
                    raise NodeError(f"{self.where}: {self._failed}")
        return None

    def _hear(self, leaf: str, payload: bytes) -> None:
        """A message of the node, from the link's own thread."""
        try:
            values = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return  # the gateway quarantines it; nobody here waits for it
        if not isinstance(values, dict):
            return
        with self._changed:
            if leaf == topic.REPLY and values.get("id") in self._waiting:
                self._replies[values["id"]] = values
            elif leaf == topic.REPLY:
                self._events.append(NodeReply(values))
            elif leaf == topic.STATE:
                self._events.append(NodeState(values))
            self._changed.notify_all()

    def _happened(self, event: Event) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def _fail(self, words: str) -> None:
        with self._changed:
            self._failed = self._failed or words
            self._changed.notify_all()


class UsbLink(NodeLink):
    """The node on a USB port. Opening does not restart it, where the board leaves DTR and RTS alone.

    Raises NodeError where the port cannot be opened or no node answers there.
    """

    def __init__(self, port: str, *, greet_s: float = GREET_S) -> None:
        super().__init__()
        self.port = port
        self.where = self.way = port
        self.name = port  # until it has told its own
        self._lines_seen: deque[str] = deque(maxlen=50)
        self._bytes_seen = 0
        self._damaged = 0
        self._closing = threading.Event()
        try:
            self._serial = ports.opened(port, timeout_s=0.2, write_timeout_s=5.0)
        except CommissioningError as error:
            raise NodeError(*error.lines) from error
        self._reader = threading.Thread(target=self._read, name=f"node on {port}", daemon=True)
        self._reader.start()
        try:
            self.info = self.command("info", within_s=greet_s)
        except NoAnswerError as error:
            self.close()
            raise NoAnswerError(self._why_no_greeting(greet_s)) from error
        except BaseException:
            self.close()
            raise
        self.name = str(self.info.get("node", port))

    def send_config(self, text: str) -> None:
        self._write(encode_line(topic.CONFIG, text))

    def close(self) -> None:
        self._closing.set()
        with contextlib.suppress(serial.SerialException, OSError, AttributeError):
            self._serial.cancel_read()  # a port at another computer has none; it ends by its timeout
        self._reader.join(2.0)
        with contextlib.suppress(serial.SerialException, OSError):
            self._serial.close()

    def _send_command(self, text: str) -> None:
        self._write(encode_line(topic.COMMAND, text))

    def _write(self, line: bytes) -> None:
        try:
            self._serial.write(line)
        except serial.SerialTimeoutException as error:
            raise NodeError(
                tr(
                    "{where}: the board takes no bytes; press its reset button and try again",
                    where=self.where,
                )
            ) from error
        except (serial.SerialException, OSError, TypeError, AttributeError) as error:
            raise NodeError(tr("{where}: unplugged; plug it in and start again", where=self.where)) from error

    def _silence(self, do: str, within_s: float) -> str:
        return tr(
            "{node} on {port} gave no answer to {do} within {within_s:.0f} s; try again, or press the board's reset button",
            node=self.name,
            port=self.port,
            do=do,
            within_s=within_s,
        )

    def _why_no_greeting(self, greet_s: float) -> str:
        seen = list(self._lines_seen)
        if any(line.startswith(">>>") for line in seen):
            return tr(
                "{port}: the board shows MicroPython's prompt, its firmware does not run; press the reset button, and if "
                "that does not help put the firmware on it with `footfall flash`",
                port=self.port,
            )
        if sum(line.startswith(("rst:0x", "ets ")) for line in seen) > 3:
            return tr(
                "{port}: the board starts over and over; give it a stronger supply or another cable, and if that does "
                "not help `footfall flash`",
                port=self.port,
            )
        if self._damaged:
            return tr(
                "{port}: the board answers, but its lines arrive damaged; try another cable or another USB port",
                port=self.port,
            )
        if self._bytes_seen:
            return tr(
                "{port}: the board writes, but did not answer within {greet_s:.0f} s; its firmware is older than this program, or "
                "none of ours: put the firmware on it with `footfall flash`",
                port=self.port,
                greet_s=greet_s,
            )
        return tr(
            "{port}: no sign of life within {greet_s:.0f} s; is this the board's port, has the cable data lines (try another), does the board have "
            "firmware (`footfall flash`)? Press its reset button and try again",
            port=self.port,
            greet_s=greet_s,
        )

    def _read(self) -> None:
        lines = Lines()
        try:
            while not self._closing.is_set():
                data = self._serial.read(max(1, min(self._serial.in_waiting, 65_536)))
                self._bytes_seen += len(data)
                for line in lines.feed(data):
                    self._take(line)
                if b">>> " in data:  # a prompt ends without a line's end
                    self._lines_seen.append(">>>")
        except (serial.SerialException, OSError, TypeError, AttributeError):
            if not self._closing.is_set():
                self._fail(tr("unplugged; plug it in and start again"))

    def _take(self, line: bytes) -> None:
        try:
            message = decode_line(line)
        except ValueError:
            self._damaged += 1
            return
        if message is not None:
            self._hear(*message)
            return
        text = line.decode("utf-8", "replace")
        self._lines_seen.append(text)
        self._happened(ConsoleLine(text))
        if found := _PASSAGE.search(text):
            self._happened(Passage(int(found[2]), _DIRECTIONS[found[3]], int(found[1]), int(found[4])))
        elif found := _FAULT.search(text):
            self._happened(BeamFault(int(found[1]), int(found[2] == "inner"), found[3] == "is blocked"))


class MqttLink(NodeLink):
    """The node `name` over the broker of the gateway's settings, with a client id of its own.

    Raises NodeError where the broker cannot be reached or has never heard of the node. That the node is offline shows in `state`
    (the retained one) and at the first command. since(name) may tell when something was last heard of it.
    """

    def __init__(
        self,
        settings: MqttSettings,
        password: Secret | None,
        name: str,
        *,
        since: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        super().__init__()
        self.name = name
        self.where = tr("broker {host}:{port}", host=settings.host, port=settings.effective_port)
        self.way = tr("the broker {host}:{port}", host=settings.host, port=settings.effective_port)
        self.state: Mapping[str, Any] | None = None
        self._since = since
        self._settings = settings
        self._live_from: tuple[str, int] | None = None
        self._seen: set[int] = set()
        leaves = (topic.STATE, topic.REPLY, topic.RECORDS)
        self._client = _connected(
            settings, password, [topic.of(name, leaf) for leaf in leaves], self._on_message, self._fail
        )
        with self._changed:
            self._changed.wait_for(lambda: self.state is not None, STATE_S)
        if self.state is None:
            self.close()
            raise NodeError(
                tr(
                    "{where} has never heard of a node {name}; `footfall node list --config …` shows those that it knows. A node that "
                    "never reached the broker is looked at over USB: --port",
                    where=self.where,
                    name=name,
                )
            )

    @property
    def online(self) -> bool:
        """As far as the broker knows."""
        return self.state is not None and self.state.get("online") is True

    def expect_online(self) -> None:
        """NodeError where the broker knows the node to be offline."""
        if not self.online:
            since = self._since(self.name)
            raise OfflineError(
                tr(
                    "{node} is offline, {since}; has it power and WiFi? Over USB it answers all the same: --port",
                    node=self.name,
                    since=since,
                )
                if since
                else tr(
                    "{node} is offline; has it power and WiFi? Over USB it answers all the same: --port",
                    node=self.name,
                )
            )

    def command(self, do: str, *, within_s: float = ANSWER_S, **values: object) -> dict[str, Any]:
        self.expect_online()
        return super().command(do, within_s=within_s, **values)

    def live(self) -> None:
        """From now on passages and faults come as events; those recorded before do not, even if they are sent again."""
        spool = self.command("info")["spool"]
        self._live_from = (spool["id"], int(spool["next"]))

    def send_config(self, text: str) -> None:
        self._publish(topic.CONFIG, text, retain=True)

    def close(self) -> None:
        leave(self._client)

    def _send_command(self, text: str) -> None:
        self._publish(topic.COMMAND, text, retain=False)

    def _publish(self, leaf: str, text: str, *, retain: bool) -> None:
        sent = self._client.publish(topic.of(self.name, leaf), text, 1, retain)
        try:
            sent.wait_for_publish(CONNECT_S)
        except (ValueError, RuntimeError) as error:
            raise NodeError(tr("{where}: the connection is lost; try again", where=self.where)) from error
        if not sent.is_published():
            raise NodeError(tr("{where}: the broker confirms nothing; try again", where=self.where))

    def _silence(self, do: str, within_s: float) -> str:
        return tr(
            "{node} gave no answer to {do} within {within_s:.0f} s, though the broker holds it for online; it may have lost power or WiFi just "
            "now, or user {user} may not write {topic} (the broker's access list)",
            node=self.name,
            do=do,
            within_s=within_s,
            user=self._settings.username or "(none)",
            topic=topic.of(self.name, topic.COMMAND),
        )

    def _on_message(self, name: str, payload: bytes) -> None:
        try:
            _, leaf = topic.parse(name)
        except PayloadError:
            return
        if leaf == topic.RECORDS:
            self._hear_records(payload)
            return
        if leaf == topic.STATE:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                values = msgspec.json.decode(payload)
                if isinstance(values, dict):
                    self.state = values
        self._hear(leaf, payload)

    def _hear_records(self, payload: bytes) -> None:
        if self._live_from is None:
            return
        try:
            batch = read_batch(topic.of(self.name, topic.RECORDS), payload)
        except PayloadError:
            return
        spool, first = self._live_from
        for seq, record in enumerate(batch.records, batch.seq):
            if batch.spool != spool or seq < first or seq in self._seen or isinstance(record, BadRecord):
                continue
            self._seen.add(seq)
            if record[1] == PASSAGE:
                self._happened(Passage(record[2], record[3], record[0], record[4]))
            elif record[1] == FAULT:
                self._happened(BeamFault(record[2], record[3], bool(record[4])))


def retained_states(
    settings: MqttSettings, password: Secret | None, *, within_s: float = 2.0
) -> dict[str, Mapping[str, Any]]:
    """The state of every node that the broker knows, by name. NodeError where the broker cannot be reached."""
    states: dict[str, Mapping[str, Any]] = {}
    heard = threading.Event()

    def on_message(name: str, payload: bytes) -> None:
        with contextlib.suppress(PayloadError, msgspec.DecodeError, UnicodeDecodeError):
            values = msgspec.json.decode(payload)
            if isinstance(values, dict):
                states[topic.parse(name)[0]] = values
                heard.set()

    client = _connected(settings, password, [f"{topic.ROOT}+/{topic.STATE}"], on_message, lambda _: None)
    try:
        until = time.monotonic() + within_s
        while heard.wait(max(0.0, min(until - time.monotonic(), 0.5 if states else within_s))):
            heard.clear()  # until half a second passes without another
    finally:
        leave(client)
    return states


def _connected(
    settings: MqttSettings,
    password: Secret | None,
    subscriptions: list[str],
    on_message: Callable[[str, bytes], None],
    lost: Callable[[str], None],
) -> paho.Client:
    """A client that is connected and subscribed, its loop running. NodeError with the reason where that fails."""
    where = tr("broker {host}:{port}", host=settings.host, port=settings.effective_port)
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=f"footfall-node-{secrets.token_hex(4)}", clean_session=True
    )
    client.connect_timeout = CONNECT_S
    identify(client, settings, password)
    subscribed = threading.Event()
    problems: list[str] = []

    def on_connect(
        client: paho.Client, _data: object, _flags: object, code: ReasonCode, _properties: object
    ) -> None:
        if code.is_failure:
            problems.append(told(refusal(code, settings)))
            subscribed.set()
            return
        client.subscribe([(wanted, 1) for wanted in subscriptions])

    def on_subscribe(
        _client: paho.Client, _data: object, _mid: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        for wanted, code in zip(subscriptions, codes, strict=False):
            if code.is_failure:
                problems.append(
                    tr(
                        "it refuses the subscription to {wanted}; give user {user} the right to read it",
                        wanted=wanted,
                        user=settings.username or "(none)",
                    )
                )
        subscribed.set()

    def on_disconnect(
        _client: paho.Client, _data: object, _flags: object, code: ReasonCode, _properties: object
    ) -> None:
        if not subscribed.is_set():
            problems.append(told(ENDED_AT_ONCE))
            subscribed.set()
        elif code.is_failure:
            lost(tr("connection lost ({why}); start again", why=str(code).lower()))

    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_disconnect = on_disconnect
    client.on_message = lambda _client, _data, message: on_message(message.topic, bytes(message.payload))
    try:
        client.connect(settings.host, settings.effective_port)
    except (OSError, ValueError) as error:
        raise NodeError(f"{where}: {told(failure(error, settings))}") from error
    client.loop_start()
    if not subscribed.wait(CONNECT_S):
        problems.append(tr("accepts the connection, but does not answer; is this port an MQTT broker's?"))
    if problems:
        leave(client)
        raise NodeError(f"{where}: {problems[0]}")
    return client
