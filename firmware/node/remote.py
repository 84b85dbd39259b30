"""Settings in memory, and the config topic that changes them. app.py builds it."""

from footfall_core import payload, record
from node import flash
from node.limits import BARRIER, PANEL, SettingError, a_list, number

REMOTE_FILE = "remote.json"
_LONGEST_REASON = 200  # characters


class Settings:
    """What node.config.load found, attribute by attribute, without a way back to its module, which is to be forgotten."""

    def __init__(self, loaded):
        for name, value in loaded.__dict__.items():
            setattr(self, name, value)


class Remote:
    """The config topic: takes or refuses what arrives. changed(taken) is called after either."""

    def __init__(self, settings, changed, report=print):
        self.error = None  # why the latest configuration was refused
        self._settings = settings
        self._changed = changed
        self._report = report
        self._text = flash.read(REMOTE_FILE)

    def received(self, text):
        """A configuration, as received; the one we have comes again with every connection."""
        if text == self._text:
            return
        try:
            apply_remote(self._settings, text)
        except ValueError as error:
            self.error = str(error)[:_LONGEST_REASON]
            self._report("configuration refused, the old one holds: %s" % error)
            self._changed(False)
            return
        self.error = None
        self._text = text
        flash.write(REMOTE_FILE, text)
        self._report("configuration: revision %d" % self._settings.revision)
        self._changed(True)


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
