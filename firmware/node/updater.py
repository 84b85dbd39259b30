"""The command "update", and one update from there to the restart. app.py loads this module when it comes, and forgets it when it is over.

update.py does the work, trial.py looks after the new firmware once it runs.
"""

import asyncio
import binascii
import gc
import json
import sys

from micropython import const

import node as package
from board import system
from node import boot, flash, forget

KEY_FILE = "update_key.json"
NOTE = "update.json"  # update.py writes it, and update.head
TRIES = const(3)  # starts on trial: the power may go meanwhile
QUIET_BEFORE_RESTART_S = const(
    10
)  # nobody in a door for so long: then nobody may come in the seconds of a restart, either
PATIENCE_BEFORE_RESTART_S = const(300)
_LONGEST_VERSION = const(20)
_MOST_BYTES = const(2097152)
_MOST_HEAD_BYTES = const(16384)
_STEP_PERCENT = const(5)  # between two messages about it
_WRITE_LOOK_MS = const(50)
_WRITE_WAIT_MS = const(800)  # as the journal has it


def _text(values, name, longest):
    value = values.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise ValueError("%s is missing or no good" % name)
    return value


def _number(values, name, most):
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise ValueError("%s is missing or no good" % name)
    return value


def modulus():
    """That of the key that signs for this node, as bytes; none where it has no key."""
    try:
        return binascii.unhexlify((flash.read_json(KEY_FILE) or {}).get("n", ""))
    except (TypeError, ValueError):
        return b""


class Updater:
    """At most one update at a time. node is app.Node: `update_told` is what its state tells, `update_over` forgets this object."""

    def __init__(self, node, report=print):
        self._node = node
        self._report = report
        self._update = None  # the update.Update under way
        self._id = None  # of the latest command for it ...
        self._publish = None  # ... and where that came from: broker or cable
        self._task = None

    # ---- commands

    def command(self, values, publish):
        """The command "update", as received; publish(text) is async and answers. ValueError where it cannot be done."""
        try:
            self._take(values, publish)
        finally:
            if not self._task:
                self._node.update_over()

    def _take(self, values, publish):
        if "confirm" in values:
            self._vouch(values["confirm"])
            return
        wanted = {
            "version": _text(values, "version", _LONGEST_VERSION),
            "bundle": _text(values, "bundle", 64),
            "size": _number(values, "size", _MOST_BYTES),
            "head": _number(values, "head", _MOST_HEAD_BYTES),
        }
        if not boot.slot():
            raise ValueError("this firmware was copied by hand and has no slot: use footfall flash once")
        if boot.on_trial() and wanted["version"] != package.VERSION:
            raise ValueError("%s is on trial: wait until that is over" % package.VERSION)
        if self._task and self._update and self._update.bundle != wanted["bundle"]:
            raise ValueError("the update to %s is under way" % self._update.version)
        key = modulus()
        if not key:
            raise ValueError(
                "no %s on this node, so it takes no update: footfall flash puts one there" % KEY_FILE
            )
        self._id = values.get("id")
        self._publish = publish
        if self._update:
            self._update.again()
        elif not self._task:
            self._task = asyncio.create_task(self._run(wanted, key, values.get("again") is True))

    def _vouch(self, version):
        """Who sends the update over a cable is at the gateway's place, where that has no other way here, and may say so."""
        if self._node.client and not self._node.settings.serial:
            raise ValueError("only the gateway's acknowledgement confirms a firmware here")
        if not boot.on_trial() or version != package.VERSION:
            raise ValueError("no version %s is on trial" % version)
        self._node.vouched = True

    def piece(self, values):
        """The command "piece": what the node asked for."""
        if self._update:
            self._update.take(values)

    # ---- one update

    async def _run(self, wanted, key, again):
        version = wanted["version"]
        if version == package.VERSION and (boot.on_trial() or not again):
            await self._say("stage", "trial" if boot.on_trial() else "runs")
            self._node.update_over()
            return
        boot.forget_failed()
        self._tell({"version": version, "percent": 0})
        problem = None
        try:
            await self._to_write()
            gc.collect()
            from node import update

            gc.collect()

            try:
                self._update = update.Update(
                    wanted,
                    boot.other_slot(),
                    key,
                    self._runs,
                    self._ask,
                    self._to_write,
                    self._room,
                    self._moved,
                )
                await self._update.run()
            except update.SilenceError as error:
                problem = str(error)
            except update.RefusedError as error:
                problem = str(error)
                try:
                    flash.write(NOTE, json.dumps({"version": version, "error": problem}))
                except OSError:
                    pass  # a full flash: who asked is told, it is only the next boot that does not know
            finally:
                self._update = update = None
                forget("node.update")
                gc.collect()
        except OSError as error:
            problem = "the flash does not take it: %s" % error
        except Exception as error:  # a mistake in here must not stop what counts
            sys.print_exception(error)
            problem = "%s %s" % (type(error).__name__, error)
        if problem:
            self._report("update to %s: %s" % (version, problem))
            self._tell({"version": version, "error": problem})
            await self._say("error", problem)
            self._node.update_over()
            return
        await self._into_trial(version)

    async def _into_trial(self, version):
        self._report("update to %s: whole and checked, restarting when nobody is in a door" % version)
        await self._say("stage", "restarting")
        quiet = 0
        for _ in range(PATIENCE_BEFORE_RESTART_S * 10):
            await asyncio.sleep_ms(100)
            quiet = quiet + 1 if self._node.journal.all_quiet() else 0
            if quiet >= QUIET_BEFORE_RESTART_S * 10:
                break
        boot.begin_trial(boot.other_slot(), TRIES)
        self._node.restart("update")

    def _runs(self):
        return {"version": package.VERSION, "chip": self._node.chip, "loader": boot.loader()}

    def _room(self):
        """Bytes of flash for an update: what the spool may still come to take is left to it."""
        return system.free_flash_kb() * 1024 - self._node.spool.still_to_come()

    async def _ask(self, offset, n):
        await self._publish(
            json.dumps({"v": 1, "ask": "update", "id": self._id, "offset": offset, "bytes": n})
        )

    async def _to_write(self):
        """Wait for a moment in which nobody is in a door, but not long."""
        for _ in range(_WRITE_WAIT_MS // _WRITE_LOOK_MS):
            if self._node.journal.all_quiet():
                return
            await asyncio.sleep_ms(_WRITE_LOOK_MS)

    def _moved(self, percent):
        told = self._node.update_told
        if percent >= told["percent"] + _STEP_PERCENT:
            self._tell({"version": told["version"], "percent": percent})

    def _tell(self, told):
        self._node.update_told = told
        self._node.status.changed()

    async def _say(self, what, text):
        await self._publish(json.dumps({"v": 1, "do": "update", "id": self._id, what: text}))
