"""The rules of a setting: its default and its bounds, and words for what cannot be used. For node/config.py;
and what the config topic may change, for node/remote.py, which loads this for a moment."""

import json

from micropython import const

from footfall_core import beam, button, payload, record

_SHOWN = const(60)  # characters of a refused value

# setting -> (default, least, most)
BARRIER = {
    "glitch_ms": (beam.GLITCH_MS, 0, 1000),
    "min_block_ms": (beam.MIN_BLOCK_MS, 0, 5000),
    "blocked_after_ms": (beam.BLOCKED_AFTER_MS, 1000, 3600000),
}
PANEL = {
    "lockout_ms": (button.LOCKOUT_MS, 0, 60000),
    "debounce_ms": (button.DEBOUNCE_MS, 1, 1000),
    "question": (0, 0, record.MAX_COUNT),
}


class SettingError(ValueError):
    """A setting that cannot be used: which, what stands there, what was expected."""

    def __init__(self, where, value, expected):
        shown = json.dumps(value)
        if len(shown) > _SHOWN:
            shown = shown[:_SHOWN] + "..."
        super().__init__("%s is %s, expected %s" % (where, shown, expected))


def number(values, name, bounds, where):
    """The whole number values[name] within (default, least, most); `where` comes before its name in the words of an error."""
    default, least, most = bounds
    value = values.get(name, default)
    if value is default:
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingError(where + name, value, "a whole number from %d to %d" % (least, most))
    return value


def a_list(values, name, default, longest):
    """The list values[name], of at most `longest`."""
    value = values.get(name)
    if value is None:
        return default
    if not isinstance(value, list) or len(value) > longest:
        raise SettingError(name, value, "a list of at most %d" % longest)
    return value


def apply_remote(settings, text):
    """Take what the config topic says into `settings`. Raises ValueError, and changes nothing, if any of it is no good.

    Known are rev, barriers (a list of limits, in the order of the barriers), lockout_ms, debounce_ms and question; other keys
    are left alone, a later gateway may send them to later nodes.
    """
    values = payload.loads(text)
    revision = number(values, "rev", (None, 0, record.MAX_COUNT), "")
    if revision is None:
        raise SettingError("rev", None, "the revision of the configuration")
    panel = {name: number(values, name, bounds, "") for name, bounds in PANEL.items() if name in values}
    limits = a_list(values, "barriers", (), len(settings.barriers))
    taken = []
    for i, barrier in enumerate(limits):
        where = "barriers[%d]." % i
        if not isinstance(barrier, dict):
            raise SettingError(where[:-1], barrier, "{...}")
        taken.append(
            {
                name: number(barrier, name, bounds, where)
                for name, bounds in BARRIER.items()
                if name in barrier
            }
        )
    for barrier, changes in zip(settings.barriers, taken):
        barrier.update(changes)
    for name, value in panel.items():
        setattr(settings, name, value)
    settings.revision = revision
