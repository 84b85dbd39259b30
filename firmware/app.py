"""The node's table of contents: what there is, who gets what from whom, and which tasks run. main.py calls `run`.

Everything with pins is in board/, everything with a behaviour in node/, the rules of counting in lib/footfall_core. What not
every node has is imported where it is made: a node without buttons, or without TLS, has more heap.
"""

import asyncio
import gc

import node

from node import config  # isort: skip  # first, as it is large, and forgotten once the settings are known
from board import system
from board.counters import Counters
from board.inputs import Button, Inputs
from board.lamps import Lamps
from footfall_core import beam, payload, record, topic
from node import boot, flash, mqtt, spool, status
from node.beacon import Beacon
from node.clock import TimeKeeper, Uptime
from node.commands import Commands, aside
from node.console import Console
from node.door import Door
from node.exchange import HEARD, Exchange
from node.journal import Journal
from node.memory import Memory
from node.remote import Remote, Settings
from node.supervise import Supervisor
from node.uplink import Uplink

SENSORS_WAKE_MS = 200  # after power-up the outputs of light barriers are dead for up to 100 ms
WATCH_S = 10  # between two feeds of the watchdog
MEMORY_LOOKS = 6  # times WATCH_S
MEMORY_RESTART_AFTER_MS = 3600000  # where it is short from the beginning, a restart is no help
HEALTHY_AFTER_MS = 120000
SAFE_FOR_MS = 3600000  # then a normal start is tried
SAFE_SPOOL_KB = 128
IDENTIFY_MS = 10000
ANSWER_FIRST_MS = 1000  # before a restart on command: time for the answer to go out
PATIENCE_BEFORE_RESTART = 50  # tenths of a second, for whoever is in a door


class Node:
    """All parts of one board, built in the order in which they need each other."""

    def __init__(self):
        # what it is, and what it keeps
        self.uptime = Uptime()
        self.time = None
        self.supervisor = Supervisor(
            system.stop_with_traceback,
            self.restart,
            keep_crash=self.keep_crash,
            safe=boot.safe(),
            now_ms=self.uptime.now,
        )
        name = system.node_name()
        self.chip = system.chip()
        self.settings = settings = self.make_settings(name)
        self.trial, self.connect_error = self.part("new connection", self.begin_trial) or (None, None)
        self.gateway_heard = False
        self.spool = self.part("spool", self.make_spool, "spool", settings.spool_kb)
        if not self.spool:  # what is in it stays there, for a later start or for whoever reads it out
            self.spool = self.make_spool("spool-safe", SAFE_SPOOL_KB)
        self.doors = []
        self.journal = Journal(self.spool, self.uptime, self.doors)
        reset_cause, clock_went_on = system.how_it_woke()
        self.cause = self.journal.note_boot(boot.cause(reset_cause), settings.revision)
        self.introduce()
        self.watchdog = system.Watchdog(settings.watchdog_s and max(settings.watchdog_s, 3 * WATCH_S))
        self.memory = Memory(system.free_heap, system.room_for)
        self.healthy = boot.safe()  # in safe mode it does not matter

        # what it counts
        self.carriers = None
        if settings.carriers:
            self.carriers = self.part("carriers", self.make_carriers)  # before a beam is looked at
        for number, barrier in enumerate(settings.barriers):
            door = self.part("door %d" % number, self.make_door, number, barrier)
            if door:
                self.doors.append(door)
        self.terminal = self.part("terminal", self.make_terminal) if settings.buttons else None

        # how it reaches the gateway
        self.wifi = self.part("WiFi", self.make_wifi) if settings.wifi else None
        self.batch_records = spool.BATCH_RECORDS
        self.console = Console()
        self.client = self.part("link", self.make_cable if settings.serial else self.make_mqtt_client)
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
        # In safe mode a new configuration is kept for the next start, and not taken.
        self.remote = Remote(self.make_settings(name, len) if boot.safe() else settings, self.configured)
        lamp = self.part("lamp", Lamps, (settings.status,)) if settings.status is not None else None
        self.beacon = Beacon(
            lamp, self.doors, self.terminal, exchange.connected, self.status.changed, safe=boot.safe()
        )
        self.boot_button = self.part("BOOT button", self.make_boot_button)
        self.updater = self.telling = None  # while an update is under way, or crashes are told
        self.vouched = False  # for the new firmware, by who sent it over a cable
        self.update_told = self.part("update", aside, "trial") if flash.read("update.json") else None
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
        self.tell_crash = exchange.publisher(topic.REPLY)
        exchange.on_connect = [
            lambda: print("%s: connected as %s" % ("cable" if settings.serial else "broker", settings.node)),
            self.uplink.connected,
            self.time.connected,
            self.status.changed,
            self.tell_crashes,
        ]

    # ---- parts that not every node has, or that may fail

    def part(self, name, make, *arguments):
        """What make(*arguments) gives. In safe mode None where it fails: what else there is goes on without it."""
        if not boot.safe():
            return make(*arguments)
        try:
            return make(*arguments)
        except Exception as error:
            self.supervisor.failed(name, error)
            print("%s: left out" % name)
            return None

    def make_settings(self, name, report=print):
        return Settings(
            self.part("settings", config.load, name, report, not boot.safe()) or config.Settings(name)
        )

    def make_spool(self, folder, kb):
        barriers = enumerate(self.settings.barriers)
        outside = tuple([n for n, barrier in barriers if barrier["role"] != config.DOOR])
        opened = spool.Spool(folder, max_bytes=kb * 1024, outside=outside)
        boot.number(opened.open())
        return opened

    def make_boot_button(self):
        from board import pin_table

        return Button(pin_table.BOOT_BUTTON)

    def make_door(self, number, barrier):
        beams = Inputs(
            (barrier["outer"], barrier["inner"]),
            self.settings.blocked_level,
            None if boot.safe() else Counters,
        )
        return Door(number, beams, barrier, self.journal.append, self.uptime)

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
        if boot.safe():
            print(
                "safe mode, as starts in a row came to nothing; a normal one in %d min"
                % (SAFE_FOR_MS // 60000)
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
            "heap": self.memory.look(),
            "heap_low": self.memory.lowest,
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
        self.tell_crashes()  # the gateway listens

    def update(self, values):
        if not self.updater:
            from node.updater import Updater

            self.updater = Updater(self)
        self.updater.command(values, self.commands.asked_by)

    def update_over(self):
        self.updater = None
        node.forget("node.updater")

    def restart_soon(self, _values, reason="command"):
        boot.give_it_a_try(0)
        self.restart_when_quiet(reason)

    def restart_when_quiet(self, reason):
        """Restart the board once nobody is in a door, or after a few seconds."""

        async def restart():
            await asyncio.sleep_ms(ANSWER_FIRST_MS)
            for _ in range(PATIENCE_BEFORE_RESTART):
                if self.journal.all_quiet():
                    break
                await asyncio.sleep_ms(100)
            self.restart(reason)

        self.restarting = asyncio.create_task(restart())

    def keep_crash(self, text):
        boot.keep_crash(text)
        self.tell_crashes()

    def tell_crashes(self):
        """What is new in the log of crashes, to a gateway that has been heard of in this boot."""
        if not self.time or not self.time.told or "== new " not in (flash.read("crash.txt") or ""):
            return
        if self.telling is None or self.telling.done():
            from node import crash

            self.telling = asyncio.create_task(crash.tell(self.exchange, self.tell_crash))

    def restart(self, reason):
        """Restart the board, with everything counted so far in flash."""
        try:
            self.journal.close_because(reason)
            print(
                "restarting: %s" % reason
            )  # only now: `footfall flash` stops the program when it reads this
        finally:
            system.reset()

    async def keep_trial(self):
        """Prove a new connection; then there is nothing more to do, for ever."""
        await self.trial.watch(lambda: self.gateway_heard, self.connection_problem, self.restart)
        self.trial = None
        node.forget("node.connect")
        await asyncio.Event().wait()

    def connection_problem(self):
        if self.wifi and not self.wifi.up():
            return self.wifi.problem
        return self.client.problem if self.client else "the broker's certificate cannot be used"

    # ---- tasks: each sleeps until something happens, and runs for ever

    async def keep_watch(self):
        """Feed the watchdog; tell faults to whoever asks for the state; look after memory, clock and the loader's notes."""
        looks = 0
        while True:
            await asyncio.sleep(WATCH_S)
            self.watchdog.feed()
            self.time.keep_clock()
            looks += 1
            short = looks % MEMORY_LOOKS == 0 and self.memory.short()
            if short and self.uptime.now() > MEMORY_RESTART_AFTER_MS:
                self.restart_when_quiet("memory short")
            if boot.safe() and self.uptime.now() > SAFE_FOR_MS:
                boot.give_it_a_try(2)  # one more that comes to nothing, and it is the safe mode again
                self.restart_when_quiet("end of safe mode")
            if not self.healthy and self.uptime.now() > HEALTHY_AFTER_MS and self.supervisor.calm():
                self.healthy = True
                boot.healthy()
            for part in self.doors + ([self.terminal] if self.terminal else []):
                if part.changed:
                    part.changed = False
                    self.status.changed()

    async def keep_new_firmware(self):
        """Where this firmware is new: confirm it or give it up."""
        from node import trial

        await trial.keep(self)
        del trial
        node.forget("node.trial")
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
        if self.boot_button:
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


# Nobody calls these once the node is built, and of the last three only the gateway does: 8 KB
ONLY_TO_BUILD = (
    (Node, "part make_settings make_spool make_boot_button make_door make_terminal make_carriers"),
    (Node, "make_wifi make_cable make_mqtt_client begin_trial hear_on_console introduce"),
    (Inputs, "__init__"),
    (Lamps, "__init__"),
    (spool.Spool, "open _age _find_segments _read_segments"),
    (Journal, "note_boot"),
    (TimeKeeper, "start"),
    (boot, "begin number cause"),
    (beam, "Replay Tally"),
    (record, "check_record _whole"),
    (payload, "encode_ack"),
)


def forget_how_it_was_built(built):
    """Give back the memory of what was needed to build the node, and is not any more."""
    for part in list(built.__dict__.values()) + built.doors:
        if "__init__" in getattr(type(part), "__dict__", ()):
            type(part).__init__ = None
    for owner, names in ONLY_TO_BUILD:
        for name in names.split():
            setattr(owner, name, None)  # not delattr, which leaves a class's method in memory
    node.forget(
        "node.config",
        "node.limits",
        "board.pin_table",
        "board.pins_esp32",
        "board.pins_esp32s3",
        "board.pins_esp32c3",
        "board.tls",
    )


async def main():
    """Build the node and let it run."""
    global config, ONLY_TO_BUILD, forget_how_it_was_built  # noqa: PLW0603
    await asyncio.sleep_ms(SENSORS_WAKE_MS)
    this_node = Node()
    forget_how_it_was_built(this_node)
    del config, ONLY_TO_BUILD, forget_how_it_was_built
    gc.threshold(gc.mem_free() // 4)  # loading is over: fewer collections, for which interrupts wait
    keep = this_node.supervisor.keep
    await asyncio.gather(*[keep(name, start) for name, start in this_node.tasks()])


def run(facts=None):
    """Count until the power goes, or a restart is asked for. facts: from the loader, see main.py."""
    boot.begin(facts, node.VERSION)
    asyncio.run(main())
