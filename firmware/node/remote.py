"""Settings in memory, and the config topic that changes them. app.py builds it."""

import node as package
from node import flash

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
        from node import limits

        try:
            limits.apply_remote(self._settings, text)
        except ValueError as error:
            self.error = str(error)[:_LONGEST_REASON]
            self._report("configuration refused, the old one holds: %s" % error)
            self._changed(False)
            return
        finally:
            package.forget("node.limits")
        self.error = None
        self._text = text
        flash.write(REMOTE_FILE, text)
        self._report("configuration: revision %d" % self._settings.revision)
        self._changed(True)
