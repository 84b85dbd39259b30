"""The node's table of contents: what there is, who gets what from whom, and which tasks run. main.py calls `run`.

Everything with pins is in board/, everything with a behaviour in node/, the rules of counting in lib/footfall_core. What not
every node has is imported where it is made: a node without buttons, or without TLS, has more heap.
"""

import asyncio
import gc
import sys

import node
from board import pin_table, system
from board.counters import Counters
from board.inputs import Button, Inputs
from board.lamps import Lamps
from footfall_core import topic
from node import boot, config, flash, mqtt, spool, status
from node.beacon import Beacon
from node.clock import TimeKeeper, Uptime
from node.commands import Commands, aside, forget
from node.console import Console
from node.door import Door
from node.exchange import HEARD, Exchange
from node.journal import Journal
from node.supervise import Supervisor
from node.uplink import Uplink

SENSORS_WAKE_MS = 200  # after power-up the outputs of light barriers are dead for up to 100 ms
WATCH_S = 10  # between two feeds of the watchdog
IDENTIFY_MS = 10000
ANSWER_FIRST_MS = 1000  # before a restart on command: time for the answer to go out
PATIENCE_BEFORE_RESTART = 50  # tenths of a second, for whoever is in a door


class Node:
    """All parts of one board, built in the order in which they need each other."""

    def __init__(self):
        # what it is, and what it keeps
        self.settings = settings = config.load(system.node_name())
        self.trial, self.connect_error = self.begin_trial()
        self.gateway_heard = False
        self.uptime = Uptime()
        outside = tuple([n for n, barrier in enumerate(settings.barriers) if barrier["role"] != config.DOOR])
        self.spool = spool.Spool(max_bytes=settings.spool_kb * 1024, outside=outside)
        boot.number(self.spool.open())
        self.doors = []
        self.journal = Journal(self.spool, self.uptime, self.doors)
        reset_cause, clock_went_on = system.how_it_woke()
        self.cause = self.journal.note_boot(boot.cause(reset_cause), settings.revision)
        self.introduce()
        self.watchdog = system.Watchdog(settings.watchdog_s and max(settings.watchdog_s, 3 * WATCH_S))
        self.supervisor = Supervisor(system.stop_with_traceback, self.restart)

        # what it counts
        self.carriers = self.make_carriers() if settings.carriers else None  # before a beam is looked at
        for number, barrier in enumerate(settings.barriers):
            beams = Inputs((barrier["outer"], barrier["inner"]), settings.blocked_level, Counters)
            self.doors.append(Door(number, beams, barrier, self.journal.append, self.uptime))
        self.terminal = self.make_terminal() if settings.buttons else None

        # how it reaches the gateway
        self.wifi = self.make_wifi() if settings.wifi else None
        self.batch_records = spool.BATCH_RECORDS
        self.console = Console()
        self.client = self.make_cable() if settings.serial else self.make_mqtt_client()
        self.exchange = exchange = Exchange(self.client, settings.node)

        # what they tell each other
        self.uplink = Uplink(
            self.spool,
            exchange.publisher(topic.RECORDS),
            self.uptime.now,
            settings.resend_s,
            self.batch_records,
        )
        self.journal.written = self.uplink.wake
        self.time = TimeKeeper(
            self.uptime, exchange.publisher(topic.REPLY), self.journal.append, system.keep_clock
        )
        self.time.start(system.utc_ms(), clock_went_on, node.RELEASED_UTC_MS, system.set_clock)
        self.status = status.Status(
            self.state, exchange.publisher(topic.STATE, retain=True), settings.state_s
        )
        self.remote = config.Remote(settings, self.configured)
        lamp = Lamps((settings.status,)) if settings.status is not None else None
        self.beacon = Beacon(lamp, self.doors, self.terminal, exchange.connected, self.status.changed)
        self.boot_button = Button(pin_table.BOOT_BUTTON)
        self.updater = None  # while an update is under way
        self.vouched = False  # for the new firmware, by who sent it over a cable
        self.update_told = aside("trial") if flash.read("update.json") else None
        actions = {
            "align": lambda values: self.beacon.align(bool(values.get("on"))),
            "connect": lambda values: aside("connect", self, values),
            "identify": self.identify,
            "info": lambda values: aside("info", self, values),
            "log": lambda values: aside("logbook", values),
            "piece": lambda values: self.updater and self.updater.piece(values),
            "reboot": self.restart_soon,
            "test": lambda values: aside("selftest", self, values),
            "time": self.told_time,
            "trace": self.trace,
            "update": self.update,
        }
        self.commands = Commands(actions, ("piece", "time"), exchange.publisher(topic.REPLY))
        exchange.hear = {
            topic.ACK: self.uplink.on_ack,
            topic.CONFIG: self.remote.received,
            topic.COMMAND: self.commands.received,
        }
        if not settings.serial:
            self.hear_on_console()
        exchange.on_connect = [
            lambda: print("%s: connected as %s" % ("cable" if settings.serial else "broker", settings.node)),
            self.uplink.connected,
            self.time.connected,
            self.status.changed,
        ]

    # ---- parts that not every node has

    def begin_trial(self):
        """(connect.Trial or None, why the last one failed or None)."""
        if flash.read("connect.json") is None:
            return None, None
        from node.connect import begin

        return begin(self.settings)

    def make_terminal(self):
        from node.terminal import Terminal

        settings = self.settings
        buttons = Inputs(settings.buttons, settings.pressed_level)
        lamps = Lamps(settings.lamps)
        return Terminal(buttons, len(settings.buttons), lamps, settings, self.journal.append, self.uptime)

    def make_carriers(self):
        from board.carriers import Carriers

        return Carriers(self.settings.carriers, self.settings.carriers_hz)

    def make_wifi(self):
        from board.wifi import Wifi

        return Wifi(self.settings.wifi["ssid"], self.settings.wifi["password"], self.settings.node)

    def make_cable(self):
        from node.cable import MAX_BATCH_RECORDS, Cable

        self.batch_records = MAX_BATCH_RECORDS
        return Cable(self.settings.node, self.console)

    def make_mqtt_client(self):
        wanted = self.settings.mqtt
        if not wanted:
            return None
        tls = None
        if wanted["ca"]:
            from board.tls import context

            try:
                tls = context(wanted["ca"])
            except ValueError as error:
                print("config.json: mqtt.ca: %s; counting without a broker" % error)
                return None
        name = self.settings.node
        client = mqtt.Client(
            wanted["host"],
            wanted["port"],
            name,
            wanted["user"],
            wanted["password"],
            tls,
            wanted["server_name"],
            (topic.of(name, topic.STATE), status.OFFLINE),
            wanted["keepalive_s"],
            wanted["deadline_s"],
        )
        client.subscriptions = tuple([topic.of(name, leaf) for leaf in HEARD])
        return client

    def hear_on_console(self):
        """Commands and configurations from the USB cable, beside those from the broker."""

        async def answer(text):
            await self.console.write(topic.REPLY, text.encode())

        self.console.hear = {
            topic.COMMAND: lambda content: self.commands.received(content, answer),
            topic.CONFIG: lambda content: self.remote.received(str(content, "utf-8")),
        }

    # ---- what it tells

    def introduce(self):
        print(
            "footfall %s: node %s, boot %d (%s), spool %s, next record %d"
            % (
                node.VERSION,
                self.settings.node,
                self.spool.boot,
                self.cause,
                self.spool.id,
                self.spool.next_seq,
            )
        )

    def state(self):
        """The state topic's content."""
        return {
            "v": 1,
            "online": True,
            "fw": node.VERSION,
            "rev": self.settings.revision,
            "slot": boot.slot(),
            "safe": boot.safe(),
            "boot": self.spool.boot,
            "uptime_s": self.uptime.now() // 1000,
            "roles": [barrier["role"] for barrier in self.settings.barriers],
            "beams": [door.state() for door in self.doors],
            "faults": [door.faults() for door in self.doors],
            "stuck": self.terminal.stuck if self.terminal else 0,
            "spool": self.spool.depth(),
            "lost": self.spool.lost,
            "noisy": [door.noisy() for door in self.doors],
            "missed_edges": sum([door.missed_edges for door in self.doors]),
            "recovered": sum([door.recovered for door in self.doors]),
            "dropped_edges": sum([door.lost_edges() for door in self.doors]),
            "clock": self.time.known,
            "clock_error_ms": self.time.error_ms,
            "heap": system.free_heap(),
            "rssi": self.wifi.rssi() if self.wifi else None,
            "connects": self.exchange.connects(),
            "failures": self.supervisor.failures,
            "config_error": self.remote.error,
            "connect_error": self.connect_error,
            "update": self.update_told,
        }

    # ---- what it is told

    def configured(self, taken):
        """The settings were changed; or, not `taken`, a change was refused."""
        if taken:
            for door, limits in zip(self.doors, self.settings.barriers):
                door.configure(limits)
            if self.terminal:
                self.terminal.configure()
        self.status.changed()

    def identify(self, _values):
        if not self.terminal:
            raise ValueError("no lamps here")
        self.terminal.identify(IDENTIFY_MS)

    def trace(self, values):
        for door in self.doors:
            door.trace(bool(values.get("on")))

    def told_time(self, values):
        self.gateway_heard = True
        self.time.answered(values)

    def update(self, values):
        if not self.updater:
            from node.updater import Updater

            self.updater = Updater(self)
        self.updater.command(values, self.commands.asked_by)

    def update_over(self):
        self.updater = None
        forget("updater")

    def restart_soon(self, _values, reason="command"):
        async def restart():
            await asyncio.sleep_ms(ANSWER_FIRST_MS)
            for _ in range(PATIENCE_BEFORE_RESTART):
                if self.journal.all_quiet():
                    break
                await asyncio.sleep_ms(100)
            self.restart(reason)

        self.restarting = asyncio.create_task(restart())

    def restart(self, reason):
        """Restart the board, with everything counted so far in flash."""
        print("restarting: %s" % reason)
        try:
            self.journal.close_because(reason)
        finally:
            system.reset()

    async def keep_trial(self):
        """Prove a new connection; then there is nothing more to do, for ever."""
        await self.trial.watch(lambda: self.gateway_heard, self.connection_problem, self.restart)
        self.trial = None
        sys.modules.pop("node.connect", None)
        await asyncio.Event().wait()

    def connection_problem(self):
        if self.wifi and not self.wifi.up():
            return self.wifi.problem
        return self.client.problem if self.client else "the broker's certificate cannot be used"

    # ---- tasks: each sleeps until something happens, and runs for ever

    async def keep_watch(self):
        """Feed the watchdog; tell faults to whoever asks for the state."""
        while True:
            await asyncio.sleep(WATCH_S)
            self.watchdog.feed()
            self.time.keep_clock()
            for part in self.doors + ([self.terminal] if self.terminal else []):
                if part.changed:
                    part.changed = False
                    self.status.changed()

    async def keep_new_firmware(self):
        """Where this firmware is new: confirm it or give it up."""
        from node import trial

        await trial.keep(self)
        del trial
        forget("trial")
        await asyncio.Event().wait()

    def tasks(self):
        """(name, coroutine function) of every task."""
        for part in self.doors + ([self.terminal] if self.terminal else []):
            yield part.name + " edges", part.watch_edges
            yield part.name + " levels", part.watch_levels
        yield "flash", self.journal.keep_in_flash
        yield "alive", lambda: self.journal.keep_alive(self.settings.alive_s)
        yield "watch", self.keep_watch
        yield "beacon", self.beacon.keep
        yield "button", lambda: self.beacon.watch_button(self.boot_button)
        yield "console", self.console.listen
        yield "commands", self.commands.answer
        if boot.on_trial():
            yield "new firmware", self.keep_new_firmware
        if self.trial:
            yield "trial", self.keep_trial
        if self.wifi:
            yield "wifi", self.wifi.keep
        if self.client:
            connected = self.exchange.connected
            yield "link", lambda: self.client.run(lambda: self.wifi is None or self.wifi.up())
            yield "uplink", lambda: self.uplink.run(connected)
            yield "time", lambda: self.time.keep(connected)
            yield "status", lambda: self.status.keep(connected)
        else:
            print("no broker: counting into flash only")


async def main():
    """Build the node and let it run."""
    await asyncio.sleep_ms(SENSORS_WAKE_MS)
    this_node = Node()
    gc.threshold(gc.mem_free() // 4)  # loading is over: fewer collections, for which interrupts wait
    keep = this_node.supervisor.keep
    await asyncio.gather(*[keep(name, start) for name, start in this_node.tasks()])


def run(facts=None):
    """Count until the power goes, or a restart is asked for. facts: from the loader, see main.py."""
    boot.begin(facts, node.VERSION)
    asyncio.run(main())
