"""The head of an update's bundle: is the bundle for this node? update.py asks before it takes any file, and after signature.py.

Loaded for that moment only: the transfer before and after needs the memory for itself.
"""

import json
import sys

from micropython import const

from node.update import FOLDERS_BYTES, HEAD, RefusedError, size_of

_FORMAT = const(1)
_MOST_FILES = const(200)
_BLOCK = const(4096)


def files_of(update, runs):
    """How many files the bundle has; RefusedError where it, genuine as it is, is not for this node.

    update: the update.Update whose bundle it is. runs: what this node is: version, chip, loader.
    """
    files = -2  # two of the head's lines are none
    with open(HEAD, "rb") as f:
        head = json.loads(f.readline())
        f.seek(0)
        while f.readline():
            files += 1
    if head.get("ffu") != _FORMAT:
        raise RefusedError("format %s of bundles is not known here" % head.get("ffu"))
    if head["version"] != update.version:
        raise RefusedError("the bundle holds version %s, not %s" % (head["version"], update.version))
    if head["chip"] != runs["chip"]:
        raise RefusedError("made for the chip %s, this is %s" % (head["chip"], runs["chip"]))
    if head["mpy"] and head["mpy"] != getattr(sys.implementation, "_mpy", 0) & 0xFF:
        raise RefusedError("compiled for another MicroPython (.mpy version %d)" % head["mpy"])
    if head["micropython"] > list(sys.implementation.version[:2]):
        raise RefusedError("needs MicroPython %d.%d: flash the board" % tuple(head["micropython"]))
    if head["loader"] > runs["loader"]:
        raise RefusedError("needs loader %d, here is %d: flash the board" % (head["loader"], runs["loader"]))
    if _as_numbers(head["version"]) < _as_numbers(runs["version"]) and not head["older"]:
        raise RefusedError("older than %s, which runs here" % runs["version"])
    if not 0 < files <= _MOST_FILES or files != head["files"]:
        raise RefusedError("its list has %d files, not %d" % (files, head["files"]))
    size = 0
    wanted = FOLDERS_BYTES
    for path, length, _ in update.rows(files):
        if path.startswith("/") or ".." in path:
            raise RefusedError("it would write to %s" % path)
        size += length
        wanted += _in_blocks(length) - _in_blocks(size_of(update.place(path)))
    if size != head["bytes"] or update.head_bytes + size != update.size:
        raise RefusedError("its list of files does not come to its length")
    update.expect_room(wanted)
    return files


def _as_numbers(version):
    """A version such as 0.2.10 as a list that can be compared; RefusedError where it is none."""
    try:
        return [int(part) for part in version.split(".")]
    except (AttributeError, ValueError):
        raise RefusedError("%s is not a version" % version) from None


def _in_blocks(size):
    """The bytes of flash that a file of this length takes."""
    return (size + _BLOCK - 1) // _BLOCK * _BLOCK
