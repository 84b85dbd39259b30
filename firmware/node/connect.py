"""The command `connect`: a new WiFi or broker, on trial. The way back is never cut: what works stays in config.json until the
new one has reached the gateway.

    command, checked           connect.json = the new settings
    restart                    connect.json says "tried", then they are used; config.json still has the old ones
    the gateway has answered   config.json = old ones with the new connection, then connect.json goes
    not within trial_s,       connect.json = only why it failed, restart with the old ones; the state topic tells it as
    or any other restart       connect_error until the next `connect`

Each step is one file that is whole or absent, so the power may go at any moment. Loaded while a trial runs, or for the moment.
"""

import asyncio
import json
import os

from micropython import const

from node import config, flash

FILE = "connect.json"
_DEFAULT_S = const(180)
_LEAST_S = const(20)
_MOST_S = const(1800)
_LONGEST_REASON = const(200)
_KEYS = {
    "wifi": ("ssid", "password"),
    "mqtt": ("host", "port", "user", "password", "ca", "server_name", "keepalive_s", "deadline_s"),
}


def answer(node, values):
    """Check the new settings, keep them for the trial, restart. ValueError, and nothing changes, if any of it is no good.

    {"do":"connect","wifi":{...},"mqtt":{...},"trial_s":180}: either may be left out; keys that are left out of them stay as
    they are, null removes one.
    """
    if node.settings.serial:
        raise ValueError('this node is on a cable ("serial": true), it has no network to change')
    trial_s = values.get("trial_s", _DEFAULT_S)
    if isinstance(trial_s, bool) or not isinstance(trial_s, int) or not _LEAST_S <= trial_s <= _MOST_S:
        raise ValueError(
            "trial_s is %s, expected a whole number from %d to %d" % (trial_s, _LEAST_S, _MOST_S)
        )
    present = flash.read_json(config.FILE) or {}
    trial = {name: _merged(present.get(name), values.get(name), name, keys) for name, keys in _KEYS.items()}
    if values.get("wifi") is None and values.get("mqtt") is None:
        raise ValueError("neither wifi nor mqtt in it")
    config.take_connection(config.Settings(node.settings.node), trial)
    certificate = (trial["mqtt"] or {}).get("ca")
    if certificate:
        try:
            os.stat(certificate)
        except OSError:
            raise ValueError(
                "mqtt.ca: %s is not on this node; copy it over USB first" % certificate
            ) from None
    flash.write(FILE, json.dumps(dict(trial, trial_s=trial_s)))
    node.restart_soon(None, "new connection")
    return {"trial_s": trial_s}


def _merged(present, changes, name, keys):
    if changes is None:
        return present
    if not isinstance(changes, dict):
        raise config.SettingError(name, changes, "{...}")
    merged = dict(present) if isinstance(present, dict) else {}
    for key, value in changes.items():
        if key not in keys:
            raise ValueError("%s.%s is not a setting" % (name, key))
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def begin(settings, report=print):
    """At boot, where connect.json is: (Trial or None, why the last trial failed or None). A trial's settings are taken over."""
    kept = flash.read_json(FILE) or {}
    if "error" in kept:
        return None, str(kept["error"])
    present = flash.read_json(config.FILE) or {}
    if kept and kept.get("wifi") == present.get("wifi") and kept.get("mqtt") == present.get("mqtt"):
        flash.remove(FILE)  # adopted, and then the power went
        return None, None
    if kept.get("tried"):
        return None, give_up("the node restarted before the new connection was proved", report)
    try:
        kept["tried"] = True
        flash.write(FILE, json.dumps(kept))
        config.take_connection(settings, kept)
    except (ValueError, OSError) as error:
        return None, give_up(str(error), report)
    report("new connection: on trial for %d s" % kept["trial_s"])
    return Trial(kept, report), None


def give_up(reason, report=print):
    """Back to what is in config.json, at the next restart. Returns the words."""
    reason = reason[:_LONGEST_REASON]
    flash.write(FILE, json.dumps({"error": reason}))
    report("new connection: given up, %s" % reason)
    return reason


class Trial:
    """A connection that has to prove itself."""

    def __init__(self, kept, report=print):
        self._kept = kept
        self._report = report

    async def watch(self, proved, problem, restart):
        """Until proved() is true: adopt it; too late: give up, with problem() as the reason, and restart."""
        for _ in range(self._kept["trial_s"] * 2):
            if proved():
                self.adopt()
                return
            await asyncio.sleep_ms(500)
        give_up(problem() or "connected, but no gateway answered", self._report)
        restart("new connection failed")

    def adopt(self):
        """The new connection is the connection."""
        values = flash.read_json(config.FILE) or {}
        for name in _KEYS:
            if self._kept[name] is not None:
                values[name] = self._kept[name]
        flash.write(config.FILE, json.dumps(values))
        flash.remove(FILE)
        self._report("new connection: the gateway has answered, kept from now on")
