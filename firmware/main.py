"""The node's table of contents: what there is, who gets what from whom, and which tasks run. MicroPython starts this file.

Everything with pins is in board/, everything with a behaviour in node/, the rules of counting in lib/footfall_core.
"""

import asyncio
import gc

import node
from board import system
from board.inputs import Inputs
from board.lamps import Lamps
from footfall_core import record, topic
from node import config, flash, mqtt, status
from node.beacon import Beacon
from node.clock import TimeKeeper, Uptime
from node.commands import Commands
from node.door import Door
from node.spool import BATCH_RECORDS, Spool
from node.supervise import Supervisor
from node.uplink import Uplink

SENSORS_WAKE_MS = 200  # after power-up the outputs of light barriers are dead for up to 100 ms
WATCH_S = 5  # between two feeds of the watchdog
FLUSH_LOOK_MS = 200
FLUSH_AFTER_MS = 800  # with the look above: a power cut costs at most a second of passages
WAIT_BEFORE_REBOOT_MS = 1000  # for the answer to the command to go out
PATIENCE_BEFORE_REBOOT = 50  # tenths of a second
MAX_REASON = 200  # characters of a refusal that the state tells
REBOOT_NOTE = "reboot.txt"


class Node:
    """All parts of one board, built in the order in which they need each other."""

    def __init__(self):
        self.uptime = Uptime()
        self.settings = config.load(system.node_name(), print)
        self.spool = Spool(max_bytes=self.settings.spool_kb * 1024)
        self.spool.open()
        self.recorded = asyncio.Event()
        self.note_boot()
        self.supervisor = Supervisor(system.stop_with_traceback, self.reboot)
        self.watchdog = system.Watchdog(
            self.settings.watchdog_s and max(self.settings.watchdog_s, 3 * WATCH_S)
        )
        self.doors = [
            Door(number, self.beam_inputs(barrier), barrier, self.append, self.uptime)
            for number, barrier in enumerate(self.settings.barriers)
        ]
        self.terminal = self.make_terminal() if self.settings.buttons else None
        self.wifi = self.make_wifi() if self.settings.wifi else None
        self.config_error = None
        self.config_text = flash.read(config.REMOTE_FILE)
        self.client = self.make_client()
        self.time = TimeKeeper(self.uptime, self.publisher(topic.REPLY), self.append, system.set_clock)
        self.time.start_from_flash(system.utc_ms(), node.RELEASED_UTC_MS)
        self.uplink = Uplink(
            self.spool,
            self.publisher(topic.RECORDS),
            self.uptime.now,
            self.settings.resend_s,
            self.batch_records,
        )
        self.status = status.Status(
            self.state, self.publisher(topic.STATE, retain=True), self.settings.state_s
        )
        lamp = Lamps((self.settings.status,)) if self.settings.status is not None else None
        self.beacon = Beacon(lamp, self.doors, self.is_connected, self.status.changed)
        self.commands = Commands(
            {
                "align": self.align,
                "time": self.time.answered,
                "identify": self.identify,
                "trace": self.trace,
                "reboot": self.reboot_on_command,
            },
            ("time",),
            self.publisher(topic.REPLY),
        )

    # ---- parts

    def beam_inputs(self, barrier):
        return Inputs((barrier["outer"], barrier["inner"]), self.settings.blocked_level)

    # What not every node has is imported here: a node without buttons, on a cable or without TLS has more heap.

    def make_terminal(self):
        from node.terminal import Terminal

        settings = self.settings
        return Terminal(
            Inputs(settings.buttons, settings.pressed_level),
            len(settings.buttons),
            Lamps(settings.lamps),
            settings,
            self.append,
            self.uptime,
        )

    def make_wifi(self):
        from board.wifi import Wifi

        return Wifi(self.settings.wifi["ssid"], self.settings.wifi["password"], self.settings.node)

    def make_client(self):
        """What carries messages to the gateway: the cable, the broker, or nothing."""
        if self.settings.serial:
            from node.cable import MAX_BATCH_RECORDS, Cable

            client = Cable(self.settings.node)
            self.batch_records = MAX_BATCH_RECORDS
        else:
            client = self.make_mqtt_client()
            self.batch_records = BATCH_RECORDS
        if client:
            client.on_message = self.on_message
            client.on_connect = self.on_connect
        return client

    def make_mqtt_client(self):
        wanted = self.settings.mqtt
        if not wanted:
            return None
        tls = None
        if wanted["ca"]:
            try:
                from board.tls import context

                tls = context(wanted["ca"])
            except ValueError as error:
                print("config.json: mqtt.ca: %s; counting without a broker" % error)
                return None
        client = mqtt.Client(
            wanted["host"],
            wanted["port"],
            self.settings.node,
            wanted["user"],
            wanted["password"],
            tls,
            wanted["server_name"],
            (topic.of(self.settings.node, topic.STATE), status.OFFLINE),
            wanted["keepalive_s"],
            wanted["deadline_s"],
        )
        client.subscriptions = tuple(self.topic(leaf) for leaf in (topic.ACK, topic.CONFIG, topic.COMMAND))
        return client

    def topic(self, leaf):
        return topic.of(self.settings.node, leaf)

    def publisher(self, leaf, retain=False):
        """An async function that publishes a text on one of the node's topics and tells whether it went out."""
        where = self.topic(leaf)

        async def publish(text):
            try:
                await self.client.publish(where, text.encode(), 1, retain)
            except mqtt.MqttError:
                return False  # said by the client; whoever keeps what must arrive sends it again
            return True

        return publish

    def is_connected(self):
        return self.client is not None and self.client.connected

    def network_is_up(self):
        return self.wifi is None or self.wifi.up()

    def append(self, values):
        """Keep a record; it is in flash a second later at most."""
        self.spool.append(values)
        self.recorded.set()

    def flush(self):
        """Everything to flash; what the flash refuses now, keep_in_flash tries again."""
        try:
            self.spool.flush()
        except OSError as error:
            print("spool: writing to flash failed (%s), trying again" % error)

    # ---- from outside

    def on_connect(self):
        print("%s: connected as %s" % ("cable" if self.settings.serial else "broker", self.settings.node))
        self.uplink.connected()
        self.time.connected()
        self.status.changed()

    def on_message(self, where, content):
        leaf = topic.parse(where)[1]
        try:
            text = str(content, "utf-8")
        except UnicodeError:
            text = ""  # no JSON either: whoever it is for refuses it
        if leaf == topic.ACK:
            self.uplink.on_ack(text)
        elif leaf == topic.CONFIG:
            self.on_config(text)
        elif leaf == topic.COMMAND:
            self.commands.received(text)

    def on_config(self, text):
        if text == self.config_text:
            return
        try:
            config.apply_remote(self.settings, text)
        except ValueError as error:
            self.config_error = str(error)[:MAX_REASON]
            print("configuration refused, the old one holds: %s" % error)
        else:
            self.config_error = None
            self.config_text = text
            flash.write(config.REMOTE_FILE, text)
            for door, limits in zip(self.doors, self.settings.barriers):
                door.configure(limits)
            if self.terminal:
                self.terminal.configure()
            print("configuration: revision %d" % self.settings.revision)
        self.status.changed()

    def identify(self, _values):
        if not self.terminal:
            raise ValueError("no lamps here")
        self.terminal.identify(10000)

    def align(self, values):
        self.beacon.align(bool(values.get("on")))

    def trace(self, values):
        for door in self.doors:
            door.trace(bool(values.get("on")))

    def reboot_on_command(self, _values):
        self.rebooting = asyncio.create_task(self.reboot_soon())

    async def reboot_soon(self):
        await asyncio.sleep_ms(WAIT_BEFORE_REBOOT_MS)
        for _ in range(PATIENCE_BEFORE_REBOOT):  # whoever is in a door is counted first
            if all(door.quiet() for door in self.doors):
                break
            await asyncio.sleep_ms(100)
        self.reboot("command")

    # ---- what is told

    def state(self):
        """The state topic's content."""
        return {
            "v": 1,
            "online": True,
            "fw": node.VERSION,
            "rev": self.settings.revision,
            "boot": self.spool.boot,
            "uptime_s": self.uptime.now() // 1000,
            "beams": [door.state() for door in self.doors],
            "faults": [door.faults() for door in self.doors],
            "stuck": self.terminal.stuck if self.terminal else 0,
            "spool": self.spool.depth(),
            "lost": self.spool.lost,
            "dropped_edges": sum(door.lost_edges() for door in self.doors),
            "clock": self.time.known,
            "clock_error_ms": self.time.error_ms,
            "heap": system.free_heap(),
            "rssi": self.wifi.rssi() if self.wifi else None,
            "connects": self.client.connects,
            "failures": self.supervisor.failures,
            "config_error": self.config_error,
        }

    def note_boot(self):
        cause = flash.read(REBOOT_NOTE)
        flash.remove(REBOOT_NOTE)
        cause = (cause or system.reset_cause())[: record.MAX_TEXT_LENGTH]
        self.append((0, record.BOOT, cause, node.VERSION, self.settings.revision))
        self.flush()
        print(
            "footfall %s: node %s, boot %d (%s), spool %s, next record %d"
            % (node.VERSION, self.settings.node, self.spool.boot, cause, self.spool.id, self.spool.next_seq)
        )

    def note_alive(self):
        """Counting without a break since then, and the totals of the node's life."""
        since_ms = max(door.since_ms for door in self.doors) if self.doors else self.uptime.now()
        self.append(
            (self.uptime.now(), record.ALIVE, since_ms, self.spool.lifetime_in, self.spool.lifetime_out)
        )

    def reboot(self, reason):
        """Restart the board, with everything counted so far in flash."""
        print("restarting: %s" % reason)
        try:
            for door in self.doors:
                door.tick()
            self.note_alive()
            self.flush()
            self.spool.save_totals()
            flash.write(REBOOT_NOTE, reason)
        finally:
            system.reset()

    # ---- tasks: each sleeps until something happens

    async def keep_in_flash(self):
        """Flush, rather when nobody is in a door: while the flash is written, interrupts wait."""
        while True:
            await self.recorded.wait()
            self.recorded.clear()
            waited_ms = 0
            while self.spool.unflushed():
                await asyncio.sleep_ms(FLUSH_LOOK_MS)
                waited_ms += FLUSH_LOOK_MS
                if waited_ms < FLUSH_AFTER_MS and not all(door.quiet() for door in self.doors):
                    continue
                self.flush()
            self.uplink.wake()

    async def keep_watch(self):
        """Feed the watchdog, and tell at once what others should know at once."""
        while True:
            await asyncio.sleep(WATCH_S)
            self.watchdog.feed()
            for part in self.doors + ([self.terminal] if self.terminal else []):
                if part.changed:
                    part.changed = False
                    self.status.changed()

    async def keep_alive(self):
        """An alive record every so often: zero is not missing."""
        while True:
            await asyncio.sleep(self.settings.alive_s)
            self.note_alive()
            self.spool.save_totals()
            gc.collect()

    async def run(self):
        """Start every task that runs for ever, and stay."""
        keep = self.supervisor.keep
        tasks = []
        for door in self.doors:
            tasks.append(("door %d edges" % door.number, door.watch_edges))
            tasks.append(("door %d levels" % door.number, door.watch_levels))
        if self.terminal:
            tasks.append(("terminal edges", self.terminal.watch_edges))
            tasks.append(("terminal levels", self.terminal.watch_levels))
        tasks.append(("flash", self.keep_in_flash))
        tasks.append(("watch", self.keep_watch))
        tasks.append(("alive", self.keep_alive))
        tasks.append(("beacon", self.beacon.keep))
        if self.wifi:
            tasks.append(("wifi", self.wifi.keep))
        if self.client:
            tasks.append(("broker", lambda: self.client.run(self.network_is_up)))
            tasks.append(("uplink", lambda: self.uplink.run(self.is_connected)))
            tasks.append(("time", lambda: self.time.keep(self.is_connected)))
            tasks.append(("status", lambda: self.status.keep(self.is_connected)))
            tasks.append(("commands", self.commands.answer))
        else:
            print("no broker: counting into flash only")
        await asyncio.gather(*(keep(name, start) for name, start in tasks))


async def main():
    """Build the node and let it run."""
    await asyncio.sleep_ms(SENSORS_WAKE_MS)
    await Node().run()


asyncio.run(main())
