"""The node's settings: from config.json in flash, then from the retained config topic. app.py loads and hands them out.

A node must count whatever its settings look like: what cannot be used is named on the console, one line each, and the
default holds. What arrives over the config topic is taken as a whole or refused as a whole, and kept in remote.json so that
a start without a network knows it.

Large, and needed at the start only: then app.py forgets it. What the config topic may change is in node/limits.py.
"""

import json

from board import pin_table
from footfall_core import record, topic
from node import flash
from node.limits import BARRIER, PANEL, SettingError, a_list, apply_remote, number
from node.remote import REMOTE_FILE

FILE = "config.json"
DOOR = "door"
PASSERS_BY = "passers-by"
_CARRIERS_HZ = (
    38000,
    56000,
)  # the frequencies of TSSP receivers that differ enough for two beams side by side

# setting -> (default, least, most)
_NODE = {
    "blocked_level": (1, 0, 1),  # a broken beam, a cut cable and a sensor without power all read high
    "pressed_level": (0, 0, 1),
    "spool_kb": (1024, 16, 8192),
    "watchdog_s": (60, 0, 600),  # 0: none, for tinkering at the REPL
    "alive_s": (300, 10, 3600),
    "state_s": (60, 5, 3600),
    "resend_s": (10, 1, 600),
}
_MQTT = {"port": (None, 1, 65535), "keepalive_s": (30, 5, 600), "deadline_s": (10, 1, 120)}
_KNOWN = (
    ("node", "wifi", "mqtt", "serial", "status", "carriers", "carriers_hz", "barriers", "buttons", "lamps")
    + tuple(_NODE)
    + tuple(PANEL)
)


def _text(values, name, where, longest=64, default=None):
    value = values.get(name, default)
    if value is default:
        return value
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        shown = "***" if name == "password" else value  # this goes to the console and into logs
        raise SettingError(where + name, shown, "a text of at most %d characters" % longest)
    return value


def _object(values, name):
    value = values.get(name)
    if value is not None and not isinstance(value, dict):
        raise SettingError(name, value, "{...}")
    return value


def _pin(value, allowed, used, where):
    if isinstance(value, bool) or value not in allowed:
        raise SettingError(where, value, "one of the pins " + ", ".join(str(pin) for pin in allowed))
    if value in used:
        raise SettingError(where, value, "a pin that nothing else uses")
    used.append(value)
    return value


class Settings:
    """What the node runs with. Attributes carry the names of the settings; barriers are dicts with pins, role and limits."""

    def __init__(self, name):
        self.node = name
        self.wifi = None
        self.mqtt = None
        self.serial = False  # True: records go over the USB cable, not to a broker
        self.barriers = [
            dict(
                [("outer", pin_table.OUTER), ("inner", pin_table.INNER), ("role", DOOR)] + _defaults(BARRIER)
            )
        ]
        self.buttons = ()
        self.lamps = ()
        self.status = None  # pin of the status lamp
        self.carriers = ()  # pins of bare emitters
        self.carriers_hz = _CARRIERS_HZ
        for setting, default in _defaults(_NODE) + _defaults(PANEL):
            setattr(self, setting, default)
        self.revision = 0


def _defaults(table):
    return [(name, bounds[0]) for name, bounds in table.items()]


def load(name, report=print, remote=True):
    """The Settings from config.json and (unless remote=False) remote.json; `name` is the node's name where none is set."""
    settings = Settings(name)
    text = flash.read(FILE)
    if text is None:
        report("%s: not there; counting with the default pins, without a network" % FILE)
    else:
        try:
            values = json.loads(text)
            whole = text.rstrip().endswith(
                "}"
            )  # MicroPython reads a text that breaks off as if it were complete
            if not isinstance(values, dict) or not whole:
                raise ValueError
        except ValueError:
            report("%s: not a JSON object; counting with the default pins, without a network" % FILE)
            values = {}
        _take(settings, values, report)
    kept = flash.read(REMOTE_FILE) if remote else None
    if kept is not None:
        try:
            apply_remote(settings, kept)
        except ValueError as error:
            report("%s: %s" % (REMOTE_FILE, error))
    return settings


def _take(settings, values, report):
    """Take what is good from config.json, report the rest."""
    for name in values:
        if name not in _KNOWN:
            report("%s: %s is not a setting" % (FILE, name))
    used = []  # pins
    parts = [
        _take_node,
        _take_wifi,
        _take_mqtt,
        _take_serial,
        _take_barriers,
        _take_buttons,
        _take_lamps,
        _take_status,
        _take_carriers,
    ]
    parts += [_number_taker(name, bounds) for table in (_NODE, PANEL) for name, bounds in table.items()]
    for take in parts:
        try:
            take(settings, values, used)
        except SettingError as error:
            report("%s: %s; the default holds" % (FILE, error))


def _number_taker(name, bounds):
    def take(settings, values, _used):
        setattr(settings, name, number(values, name, bounds, ""))

    return take


def _take_node(settings, values, _used):
    name = _text(values, "node", "", topic.MAX_NODE_LENGTH, settings.node)
    if not topic.valid_node(name):
        raise SettingError("node", name, "a name of a-z, 0-9 and -")
    settings.node = name


def _take_wifi(settings, values, _used):
    wifi = _object(values, "wifi")
    if wifi is None:
        return
    if _text(wifi, "ssid", "wifi.", 32) is None:
        raise SettingError("wifi.ssid", None, "the name of the network")
    settings.wifi = {"ssid": wifi["ssid"], "password": _text(wifi, "password", "wifi.") or ""}


def _take_mqtt(settings, values, _used):
    mqtt = _object(values, "mqtt")
    if mqtt is None:
        return
    taken = {name: number(mqtt, name, bounds, "mqtt.") for name, bounds in _MQTT.items()}
    for name in ("host", "user", "password", "ca", "server_name"):
        taken[name] = _text(mqtt, name, "mqtt.", 128)
    if taken["host"] is None:
        raise SettingError("mqtt.host", None, "the broker's name or address")
    if taken["port"] is None:
        taken["port"] = 8883 if taken["ca"] else 1883
    settings.mqtt = taken


def take_connection(settings, values):
    """Take wifi and mqtt. Raises SettingError where one is no good."""
    _take_wifi(settings, values, None)
    _take_mqtt(settings, values, None)


def _take_serial(settings, values, _used):
    value = values.get("serial", False)
    if not isinstance(value, bool):
        raise SettingError("serial", value, "true or false")
    settings.serial = value


def _take_barriers(settings, values, used):
    default = [barrier[beam_name] for barrier in settings.barriers for beam_name in ("outer", "inner")]
    used.extend(default)  # so that buttons and lamps keep off them if this fails
    barriers = a_list(values, "barriers", None, record.MAX_BARRIERS)
    if barriers is None:
        return
    pins = []
    taken = []
    for i, barrier in enumerate(barriers):
        where = "barriers[%d]." % i
        if not isinstance(barrier, dict):
            raise SettingError(where[:-1], barrier, "{...}")
        one = {"outer": _pin(barrier.get("outer"), pin_table.INPUTS, pins, where + "outer"), "inner": None}
        if barrier.get("inner") is not None:  # without: one beam, no direction
            one["inner"] = _pin(barrier["inner"], pin_table.INPUTS, pins, where + "inner")
        one["role"] = barrier.get("role", DOOR)
        if one["role"] not in (DOOR, PASSERS_BY):
            raise SettingError(where + "role", one["role"], '"%s" or "%s"' % (DOOR, PASSERS_BY))
        for name, bounds in BARRIER.items():
            one[name] = number(barrier, name, bounds, where)
        taken.append(one)
    settings.barriers = taken
    used[:] = pins


def _take_buttons(settings, values, used):
    settings.buttons = _pins(values, "buttons", pin_table.INPUTS, used)


def _take_lamps(settings, values, used):
    settings.lamps = _pins(values, "lamps", pin_table.OUTPUTS, used)


def _take_status(settings, values, used):
    if values.get("status") is not None:
        settings.status = _pin(values["status"], pin_table.OUTPUTS, used, "status")


def _take_carriers(settings, values, used):
    frequencies = a_list(values, "carriers_hz", _CARRIERS_HZ, len(_CARRIERS_HZ))
    for hz in frequencies:
        number({"hz": hz}, "hz", (None, 30000, 60000), "carriers_")
    pins = a_list(values, "carriers", (), len(frequencies))
    settings.carriers = tuple(
        [_pin(pin, pin_table.OUTPUTS, used, "carriers[%d]" % i) for i, pin in enumerate(pins)]
    )
    settings.carriers_hz = tuple(frequencies)


def _pins(values, name, allowed, used):
    pins = a_list(values, name, (), record.MAX_BUTTONS)
    return tuple([_pin(pin, allowed, used, "%s[%d]" % (name, i)) for i, pin in enumerate(pins)])
