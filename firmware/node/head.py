"""The head of an update's bundle: is it genuine, and is the bundle for this node? update.py asks before it takes any file.

Loaded for that moment only, and signature.py within it: the transfer before and after needs the memory for itself.
"""

import asyncio
import gc
import hashlib
import json
import sys

from micropython import const

from node import forget
from node.update import FOLDERS_BYTES, HEAD, RefusedError, size_of

_FORMAT = const(1)
_MOST_FILES = const(200)
_BLOCK = const(4096)


async def genuine(key):
    """The head's first line as a dict, and how many lines follow, once the signature under all of them has been found right.

    key(): the modulus of the key that signs for this node, in hex.
    """
    digest = hashlib.sha256()
    lines = -1
    first = line = b""
    with open(HEAD, "rb") as f:
        while True:
            following = f.readline()  # a limit would be taken from the heap each time, in one piece
            if not following:
                break
            if line:
                digest.update(line)
                lines += 1
            first = first or following
            line = following
            await asyncio.sleep_ms(0)
    from node import signature

    try:
        found = signature.genuine(key(), line.strip(), digest.digest())
        line = following = None  # numbers of twice the key's length want a piece of heap each
        gc.collect()
        good = await found
    finally:
        signature = None
        forget("node.signature")
    if not good:
        raise RefusedError("the signature does not fit this node's update key")
    return json.loads(first), lines


def suits(head, files, update, runs):
    """RefusedError where this bundle, genuine as it is, is not for this node.

    head, files: as from `genuine`. update: the update.Update whose bundle it is. runs: what this node is: version, chip, loader.
    """
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


def _as_numbers(version):
    """A version such as 0.2.10 as a list that can be compared; RefusedError where it is none."""
    try:
        return [int(part) for part in version.split(".")]
    except (AttributeError, ValueError):
        raise RefusedError("%s is not a version" % version) from None


def _in_blocks(size):
    """The bytes of flash that a file of this length takes."""
    return (size + _BLOCK - 1) // _BLOCK * _BLOCK
