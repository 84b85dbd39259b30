"""Small files in flash that are whole or absent, never half: config, spool and clock keep their notes with it.

A file is written beside its place, flushed to the flash, then renamed over the old one. littlefs (the board) and
POSIX (the virtual board) rename atomically; `read` also tells a damaged file from a missing one.
"""

import json
import os


def write(name, text):
    """Replace the file `name` by `text`. After this returns, a power cut leaves the new text; before, the old one."""
    beside = name + ".new"
    with open(beside, "w") as f:
        f.write(text)
        f.flush()
    os.rename(beside, name)


def read(name):
    """The text of the file, or None where there is none or it is not text."""
    try:
        with open(name) as f:
            return f.read()
    except (OSError, UnicodeError):
        return None


def read_json(name):
    """The JSON object in the file, or None where there is none or it is not a JSON object."""
    text = read(name)
    if text is None:
        return None
    try:
        values = json.loads(text)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def remove(name):
    """Delete the file; no error where it is already gone."""
    try:
        os.remove(name)
    except OSError:
        pass


def make_folder(name):
    """Make the folder; no error where it exists."""
    try:
        os.mkdir(name)
    except OSError:
        pass
