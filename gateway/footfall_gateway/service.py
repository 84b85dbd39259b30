"""The running gateway: puts the parts together, starts and stops their threads. `footfall run` calls `run`.

    links (paho, serial)  ->  Inbox  ->  Receiver  ->  Ledger  ->  Accounts  ->  Outbox  ->  InfluxSink
                              1 thread per link      1 thread      1 thread                 1 thread

Everything goes through the ledger: each thread can die at any moment and loses nothing. So there is no healing here:
an error that nobody expected ends the process with status 1, and whoever started it starts it again.
"""

import logging
import signal
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from footfall_core import topic
from footfall_gateway.accounts import Accounts
from footfall_gateway.clock import system_clock, utc_text
from footfall_gateway.health import GatewayHealth, NodeWatch
from footfall_gateway.ledger import Ledger, LedgerError
from footfall_gateway.link import Inbox, Link
from footfall_gateway.link_mqtt import MqttLink
from footfall_gateway.link_serial import SerialLink
from footfall_gateway.node_book import NodeBook
from footfall_gateway.node_config import NodeConfigs
from footfall_gateway.outage import Backoff, Outage
from footfall_gateway.outbox import Outbox
from footfall_gateway.places import DOOR
from footfall_gateway.receiver import Receiver
from footfall_gateway.settings import Settings, places_of
from footfall_gateway.sink_influx import InfluxSink, InfluxWriter

__all__ = ["Gateway", "ledger_path", "run"]

ACCOUNTS_EVERY_S = 0.5  # not after each record: every run costs the ledger some of its time
HEALTH_EVERY_S = 10.0
COMPACT_EVERY_S = 60.0
CONFIGURE_EVERY_S = 1.0  # the next question begins at a midnight
# Python handles a signal in the main thread only, and the kernel may have given it to another one, as after a stop and
# a continuation: a main thread that waits without a limit would never know
SIGNAL_LOOK_S = 1.0

log = logging.getLogger(__name__)


def ledger_path(settings: Settings) -> Path:
    return settings.gateway.data / "ledger.sqlite"


class Gateway:
    """One gateway. Opens its ledger at once (LedgerError); connects when started. `clock` gives UTC in ms."""

    def __init__(self, settings: Settings, clock: Callable[[], int] = system_clock) -> None:
        self.settings = settings
        self.clock = clock
        self.places = places_of(settings)
        self.failure: BaseException | None = None
        self._over = threading.Event()
        self.ledger = Ledger.open(ledger_path(settings))
        self.outbox = Outbox(self.ledger)
        self.accounts = Accounts(
            self.ledger,
            self.places,
            publish=settings.influxdb is not None,
            grace_ms=settings.gateway.grace_s * 1000,
        )
        self.inbox = Inbox()
        self.links: list[Link] = []
        if settings.mqtt is not None:
            self.links.append(MqttLink(settings.mqtt, settings.mqtt_password, self.inbox, self._crashed))
        self.links += [SerialLink(serial, self.inbox, self._crashed) for serial in settings.serial]
        self.sink: InfluxSink | None = None
        self._jobs = [
            _Job("accounts", ACCOUNTS_EVERY_S, self._account, self._crashed),
            _Job("compact", COMPACT_EVERY_S, self._compact, self._crashed),
        ]
        if settings.influxdb is not None:
            writer = InfluxWriter(settings.influxdb, settings.influx_token)
            self.sink = InfluxSink(
                writer, self.outbox, settings.influxdb.batch_points, self.clock, self._crashed
            )
            self.health = GatewayHealth(settings.gateway.name, self.ledger, self.outbox)
            self._jobs.append(_Job("health", HEALTH_EVERY_S, self._write_health, self._crashed))
        self._receiver = Receiver(
            self.ledger,
            self.places,
            self.inbox,
            NodeWatch(self.ledger, self.places, self.outbox if self.sink else None),
            self.clock,
            self._crashed,
        )
        self._configs = NodeConfigs(
            settings,
            self.places,
            NodeBook(self.ledger),
            lambda node, text: self._receiver.say(node, topic.CONFIG, text, retain=True),
        )
        self._receiver.configure(self._configs)
        self._jobs.append(_Job("configuration", CONFIGURE_EVERY_S, self._configure, self._crashed))

    def start(self) -> None:
        for line in summary(self.settings):
            log.info("%s", line)
        now_ms = self.clock()
        self._configs.refresh(now_ms)
        latest_ms = self.ledger.clock_gone_back(now_ms)
        if latest_ms is not None:
            log.error(
                "this gateway's clock has gone back: it says %s, and records were received until %s. No node is told the "
                "time until it is right (timedatectl), or a person says that it is (footfall ledger trust-clock)",
                utc_text(now_ms),
                utc_text(latest_ms),
            )
        for node in sorted({spool.node for spool in self.ledger.spools()} - self.places.nodes):
            log.warning(
                "node %s: the ledger has its records, but no door or terminal in the settings names it: they are in no hour. "
                "Where another node took its place, keep its entry, and give the new one a valid_from",
                node,
            )
        self._receiver.start()
        for job in self._jobs:
            job.start()
        if self.sink is not None:
            self.sink.start()
        for link in self.links:
            link.start()

    def stop(self) -> None:
        """Stores and acknowledges what has arrived, then ends all threads and closes the ledger."""
        self._receiver.stop()
        self.inbox.close()
        for link in self.links:
            link.stop()
        for job in self._jobs:
            job.stop()
        if self.sink is not None:
            self.sink.stop()
        self.ledger.close()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until `end` is called or a thread has failed (`failure` then says how); False after `timeout_s`."""
        return self._over.wait(timeout_s)

    def end(self) -> None:
        """Makes `wait` return. May be called from a signal handler."""
        self._over.set()

    def _crashed(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
        self._over.set()

    def _account(self) -> None:
        while True:
            worked = self.accounts.work(self.clock())
            if worked.lines and self.sink is not None:
                self.sink.wake()
            if not worked.more or self._over.is_set():
                return

    def _compact(self) -> None:
        self.ledger.compact(self.clock(), self.settings.gateway.retention_days)

    def _configure(self) -> None:
        self._configs.refresh(self.clock())

    def _write_health(self) -> None:
        self.health.write(self.clock())


class _Job:
    """A thread that does one thing again and again, every `every_s`. A full disk makes it try later."""

    def __init__(
        self, name: str, every_s: float, work: Callable[[], None], crashed: Callable[[BaseException], None]
    ) -> None:
        self._every_s = every_s
        self._work = work
        self._crashed = crashed
        self._outage = Outage(name, log)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        backoff = Backoff(0.5, 30.0)
        try:
            while not self._stop.is_set():
                try:
                    self._work()
                except LedgerError as error:
                    if not error.temporary:
                        raise
                    self._outage.fails(str(error), logging.ERROR)
                    self._stop.wait(backoff.next_s())
                    continue
                self._outage.works()
                backoff.reset()
                self._stop.wait(self._every_s)
        except Exception as error:  # noqa: BLE001 - a thread must not end unseen
            self._crashed(error)


def summary(settings: Settings) -> list[str]:
    """What these settings come to, in plain words: for the start of the log and for `footfall config check`."""
    lines = [
        f"footfall {version('footfall')}, gateway {settings.gateway.name}, ledger {ledger_path(settings)}"
    ]
    mqtt = settings.mqtt
    if mqtt is not None:
        how = "TLS" if mqtt.uses_tls else "no TLS"
        who = f"as user {mqtt.username}" if mqtt.username else "without a user name"
        lines.append(f"listens to the broker {mqtt.host}:{mqtt.effective_port} ({how}, {who})")
    lines += [f"listens to node {port.node} on {port.port} ({port.baud} baud)" for port in settings.serial]
    influx = settings.influxdb
    if influx is not None:
        who = "with a token" if settings.influx_token else "without a token"
        lines.append(f'sends to InfluxDB {influx.url}, org "{influx.org}", bucket "{influx.bucket}" ({who})')
    else:
        lines.append("sends nowhere: results stay in the ledger (no [influxdb])")
    for site in settings.sites:
        capacity = f", up to {site.capacity} persons" if site.capacity else ""
        lines.append(f"site {site.id}: {site.title}, {site.timezone}{capacity}")
        for door in site.doors:
            since = f" from {door.valid_from}" if door.valid_from.year > 1970 else ""
            what = "door" if door.role == DOOR else door.role
            lines.append(f"  {what} {door.id}: node {door.node}, barrier {door.barrier}{since}")
        for terminal in site.terminals:
            since = f" from {terminal.valid_from}" if terminal.valid_from.year > 1970 else ""
            lines.append(
                f"  terminal {terminal.id}: node {terminal.node}, {', '.join(terminal.answers)}{since}"
            )
        if not site.doors and not site.terminals:
            lines.append("  no door and no terminal yet")
    lines += [f"configures node {node.node}" for node in settings.nodes]
    for question in settings.questions:
        if question.asked_from is not None:
            where = ", ".join(question.asked_at) or "every terminal"
            lines.append(
                f"question {question.revision} ({question.id}) at {where} from {question.asked_from}"
            )
    if not settings.sites:
        lines.append("no site yet: records of every node are refused and stay on the nodes")
    return lines


def run(settings: Settings, clock: Callable[[], int] = system_clock) -> int:
    """Runs a gateway until SIGTERM or SIGINT (returns 0) or until a thread fails (returns 1). Main thread only."""
    for warning in settings.warnings:
        log.warning("%s", warning)
    gateway = Gateway(settings, clock)

    def on_signal(number: int, _frame: FrameType | None) -> None:
        log.info("%s: storing what has arrived, then ending", signal.Signals(number).name)
        gateway.end()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        gateway.start()
        while not gateway.wait(SIGNAL_LOOK_S):
            pass
        gateway.stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    failure = gateway.failure
    if failure is None:
        log.info("ended, everything that arrived is in the ledger")
        return 0
    if isinstance(failure, LedgerError):
        log.critical("%s", failure)
    else:
        log.critical("ended by an error inside the gateway, please report it", exc_info=failure)
    return 1
