"""The node's side of the loader (main.py): what runs, and what is told back to it. Its notes, start.json, are described there.

app.py calls `begin` first of all; commands and the update over the air ask and tell the rest.
"""

import json

from node import flash

NOTES = "start.json"
_facts = {}


def begin(facts, version):
    """Take the loader's facts (None where something else started the firmware)."""
    global _facts  # noqa: PLW0603 - a node boots once
    _facts = facts or {}
    _facts["fw"] = version


def number(boot):
    """The number of this boot, for the loader's crash log."""
    _facts["boot"] = boot


def slot():
    """The letter "a" or "b", or "" where the firmware does not run from a slot."""
    return _facts.get("slot", "")


def other_slot():
    """Where an update goes."""
    return "b" if slot() == "a" else "a"


def on_trial():
    """True for a new firmware that has not been confirmed yet."""
    return bool(_facts.get("trial"))


def safe():
    """True after several starts in a row that came to nothing: count, and be reachable; leave out all else."""
    return bool(_facts.get("safe"))


def cause(of_reset):
    """Why this boot, for its record: what the loader knows, else what the chip says (`of_reset`)."""
    text = _facts.get("why") or of_reset
    return text[:28] + ", safe mode" if safe() else text


def failed():
    """Why the last new firmware was given up, "" if none was since `forget_failed`."""
    reason = _notes().get("failed")
    return reason if isinstance(reason, str) else ""


def forget_failed():
    """The gateway has been told."""
    _change({}, ("failed",))


def healthy():
    """This run is no short one: the starts before it that came to nothing are forgotten."""
    if _notes().get("short") != 0:
        _change({"short": 0})


def give_it_a_try(short):
    """The next start is to be a normal one; `short` runs are held against it (see main.SHORT_RUNS)."""
    _change({"short": short})


def confirm():
    """The firmware that runs is good: the trial is over, it starts from now on."""
    if slot():
        _change({"slot": slot()}, ("trial", "tries", "failed"))
    _facts["trial"] = False


def give_up(reason):
    """The firmware that runs is on trial and no good: from the next restart on the old one runs, and tells `reason`."""
    _change({"failed": ("slot %s: %s" % (slot(), reason))[:100]}, ("trial", "tries"))


def loader():
    """The version of the loader (main.py)."""
    return _facts.get("loader", 1)


def begin_trial(name, tries=3):
    """At the next restart the firmware in slot `name` runs, at most `tries` times without being confirmed."""
    if name not in ("a", "b") or name == slot():
        raise ValueError("slot %s is no place for a new firmware" % name)
    changes = {"trial": name, "tries": tries, "short": 0}
    if slot():
        changes["slot"] = slot()
    _change(changes, ("failed",))


def keep_crash(text):
    """Add to the log of crashes, which is told to the gateway."""
    keep = _facts.get("keep_crash")
    if keep:
        keep(text, _facts.get("boot", 0), _facts["fw"], slot())


def _notes():
    return flash.read_json(NOTES) or {}


def _change(changes, gone=()):
    notes = _notes()
    notes.update(changes)
    for name in gone:
        notes.pop(name, None)
    flash.write(NOTES, json.dumps(notes))
