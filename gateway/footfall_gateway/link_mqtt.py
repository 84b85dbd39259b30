"""The MQTT side of the gateway: paho-mqtt moves the bytes, this module decides what is acknowledged and what is said.

- One fixed client id and `clean_session=False`: while the gateway is down, the broker keeps what arrives (as far as
  it is configured to; the nodes' flash is what promises anything).
- `manual_ack`: the broker may forget a message (PUBACK) only after the ledger has committed it. After a reconnect the
  broker brings unacknowledged messages again, marked as duplicates; the ledger knows them by their key.
- Callbacks run in paho's thread. An exception there would end that thread silently, so none of them lets one out: it
  goes to `crashed`, and the service ends the process.
- MQTT 3.1.1, because version 5 costs paho 1.6 times the work and brings nothing that the promises need.

A message that is larger than MAX_KEPT_BYTES is cut before it is queued. paho itself takes what the broker lets
through: set `message_size_limit` (mosquitto) there.
"""

import contextlib
import logging
import queue
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from footfall_core import topic
from footfall_gateway.link import MAX_KEPT_BYTES, Arrived, Inbox, Opened
from footfall_gateway.outage import Outage
from footfall_gateway.settings import MqttSettings, Secret
from footfall_gateway.toml_reader import reason

__all__ = ["ENDED_AT_ONCE", "MqttLink", "failure", "identify", "leave", "probe", "refusal", "tls_context"]

SUBSCRIPTIONS = tuple(f"footfall/1/+/{leaf}" for leaf in (topic.RECORDS, topic.STATE, topic.REPLY))
RETRY_FIRST_S, RETRY_LIMIT_S = 1, 30
ENDED_AT_ONCE = "it ends the connection before it has begun; does this port want TLS?"
CONNECT_TIMEOUT_S = 10.0
UNCONFIRMED_MESSAGES = (
    200  # acknowledgements to nodes under way at once; paho's 20 would be one round trip per 20
)
WAITING_MESSAGES = (
    5_000  # more are refused; a node that misses an acknowledgement asks again by sending again
)
QUICK_LOSS_S = 5.0  # a connection that ends within this time
QUICK_LOSSES = 3  # ... so many times in a row points at a second client with the same id
LEAVE_S = 3.0  # how long `stop` waits for paho's thread

log = logging.getLogger(__name__)


def _send_at_once(_client: paho.Client, _userdata: object, sock: Any) -> None:
    """Small packets do not wait for each other: an acknowledgement would come 40 ms late."""
    with contextlib.suppress(OSError, AttributeError):  # a websocket has no such option
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class MqttLink:
    """The connection to one broker. `crashed` is called with an exception that nothing expected."""

    def __init__(
        self,
        settings: MqttSettings,
        password: Secret | None,
        inbox: Inbox,
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._crashed = crashed
        self._outage = Outage(self.name, log)
        self._connection = 0  # counts connections: a message id belongs to one of them
        self._connected_at = 0.0
        self._quick_losses = 0
        self._refused = (
            False  # this attempt was answered with a refusal: that is the reason, not the lost connection
        )
        self._leaving = False
        self._client = self._new_client(password)

    @property
    def name(self) -> str:
        return f"broker {self._settings.host}:{self._settings.effective_port}"

    @property
    def connected(self) -> bool:
        return self._connected_at > 0

    def start(self) -> None:
        self._client.connect_async(
            self._settings.host, self._settings.effective_port, keepalive=self._settings.keepalive_s
        )
        self._client.loop_start()

    def stop(self) -> None:
        self._leaving = True
        # loop_stop lets paho send what it still has, and waits for that without a limit, even for a lost broker
        stopper = threading.Thread(target=stop_thread, args=[self._client], name="mqtt-stop", daemon=True)
        stopper.start()
        stopper.join(LEAVE_S)
        self._client.disconnect()

    def receipt(self, arrived: Arrived) -> None:
        if arrived.mid and arrived.connection == self._connection:
            self._client.ack(arrived.mid, 1)

    def send(self, node: str, leaf: str, payload: str, *, retain: bool = False) -> bool:
        if not self.connected:
            return False
        sent = self._client.publish(topic.of(node, leaf), payload, qos=1, retain=retain)
        return sent.rc == paho.MQTT_ERR_SUCCESS

    def _new_client(self, password: Secret | None) -> paho.Client:
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=False,
            protocol=paho.MQTTv311,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages = UNCONFIRMED_MESSAGES
        client.max_queued_messages = WAITING_MESSAGES
        client.reconnect_delay_set(RETRY_FIRST_S, RETRY_LIMIT_S)
        identify(client, settings, password)
        client.on_connect = self._guarded(self._on_connect)
        client.on_connect_fail = self._guarded(self._on_connect_fail)
        client.on_disconnect = self._guarded(self._on_disconnect)
        client.on_subscribe = self._guarded(self._on_subscribe)
        client.on_message = self._guarded(self._on_message)
        client.on_socket_open = _send_at_once
        return client

    def _guarded(self, handler: Callable[..., None]) -> Callable[..., None]:
        def callback(_client: paho.Client, _userdata: object, *values: Any) -> None:
            try:
                handler(*values)
            except Exception as error:  # noqa: BLE001 - the one place that must let nothing out
                self._crashed(error)

        return callback

    def _on_connect(self, _flags: paho.ConnectFlags, code: ReasonCode, _properties: object) -> None:
        if code.is_failure:
            self._refused = True
            self._outage.fails(refusal(code, self._settings), logging.ERROR)
            return
        self._connection += 1
        self._connected_at = time.monotonic()
        self._client.subscribe([(wanted, 1) for wanted in SUBSCRIPTIONS])

    def _on_subscribe(self, _mid: int, codes: list[ReasonCode], _properties: object) -> None:
        for wanted, code in zip(SUBSCRIPTIONS, codes, strict=False):
            if code.is_failure:
                log.error(
                    "%s: refuses the subscription to %s; give user %s the right to read it",
                    self.name,
                    wanted,
                    self._settings.username or "(none)",
                )
        self._outage.works()
        log.info("%s: connected, listening", self.name)
        self._inbox.put(Opened(self))

    def _on_connect_fail(self) -> None:
        error = sys.exception()  # paho calls from within its `except`; it passes the error nowhere else
        self._quick_losses = 0  # a broker that was away, not a rival that took the place
        self._outage.fails(failure(error, self._settings) if error else "no connection")

    def _on_disconnect(self, _flags: paho.DisconnectFlags, code: ReasonCode, _properties: object) -> None:
        lasted_s = time.monotonic() - self._connected_at if self.connected else None
        self._connected_at = 0.0
        refused, self._refused = self._refused, False
        if self._leaving or refused:
            return
        if lasted_s is None:
            self._outage.fails(ENDED_AT_ONCE)
            return
        self._quick_losses = self._quick_losses + 1 if lasted_s < QUICK_LOSS_S else 0
        if self._quick_losses >= QUICK_LOSSES:
            self._outage.fails(
                f'the broker ends each connection at once; does a second client use the id "{self._settings.client_id}"?',
                logging.ERROR,
            )
        else:
            self._outage.fails(f"connection lost ({str(code).lower()})")

    def _on_message(self, message: paho.MQTTMessage) -> None:
        try:
            name = message.topic
        except UnicodeDecodeError:
            name = "(a topic that is not UTF-8)"
        payload = bytes(message.payload[:MAX_KEPT_BYTES])
        mid = message.mid if message.qos else 0
        self._inbox.put(Arrived(self, name, payload, message.retain, mid, self._connection))


def probe(settings: MqttSettings, password: Secret | None) -> str | None:
    """Connects once and leaves; why that did not work, or None. A gateway that is running is not disturbed."""
    answer: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=settings.client_id + "-check", reconnect_on_failure=False
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    identify(client, settings, password)
    client.on_connect = lambda _client, _userdata, _flags, code, _properties: answer.put(
        refusal(code, settings) if code.is_failure else None
    )
    client.on_disconnect = lambda *_: answer.put(ENDED_AT_ONCE)
    try:
        client.connect(settings.host, settings.effective_port)
    except OSError as error:
        return failure(error, settings)
    client.loop_start()
    try:
        return answer.get(timeout=CONNECT_TIMEOUT_S)
    except queue.Empty:
        return "accepts the connection, but does not answer; is this port an MQTT broker's?"
    finally:
        leave(client)


def leave(client: paho.Client) -> None:
    """Ends the connection in good order, and paho's thread."""
    client.disconnect()
    stop_thread(client)


def stop_thread(client: paho.Client) -> None:
    """paho's `loop_stop`, which trips over a thread that ends by itself while it begins to wait for it (paho 2.1)."""
    with contextlib.suppress(AttributeError):
        client.loop_stop()


def identify(client: paho.Client, settings: MqttSettings, password: Secret | None) -> None:
    if settings.username is not None:
        client.username_pw_set(settings.username, password.reveal() if password else None)
    if settings.uses_tls:
        client.tls_set_context(tls_context(settings))


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """The broker's certificate is checked against `ca_file`, or the system's authorities; its name against `host`."""
    context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: "")
    return context


def failure(error: BaseException, settings: MqttSettings) -> str:
    """Why there is no connection, in words that say what to look at."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not accepted: {error.verify_message}; look at ca_file and host"
    words: tuple[tuple[type[BaseException], str], ...] = (
        (
            ssl.SSLError,
            f"no TLS connection ({getattr(error, 'reason', None) or error}); does this port speak TLS?",
        ),
        (socket.gaierror, "this host name is not known here (no address found)"),
        (ConnectionRefusedError, "connection refused; does the broker run, and on this port?"),
        (TimeoutError, f"no answer within {CONNECT_TIMEOUT_S:.0f} s"),
    )
    for kind, text in words:
        if isinstance(error, kind):
            return text
    if not isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    return reason(error) + ("; does this port speak TLS?" if settings.uses_tls else "")


def refusal(code: ReasonCode, settings: MqttSettings) -> str:
    text = str(code).lower()
    if "authorized" in text or "user name" in text or "password" in text:
        who = f'user "{settings.username}"' if settings.username else "a client without username"
        return f"the broker refuses {who} ({text}); look at username and password_file"
    return f"the broker refuses the connection ({text})"
