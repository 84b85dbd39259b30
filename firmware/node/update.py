"""Update over the air: takes a signed bundle piece by piece into the slot that is not in use, and checks it. updater.py loads it for that.

What a bundle looks like: docs/wire.md. The order is the promise:

1. Its head (each file's place, length and hash) comes, and the signature under it is checked, before any file is taken.
2. The files go into the other slot as they come. The node asks for each piece, so that it sets the pace; what is in flash
   tells where to go on after a power cut or a broken link.
3. Every file is read back from the flash and its hash compared with the head's.
4. Only then app gets its name, without which the loader takes a slot for empty, and updater.py may put the slot on trial.
"""

import asyncio
import binascii
import gc
import hashlib
import json
import os
import sys

from micropython import const

from node import flash

NOTE = "update.json"  # what is under way, or what became of it
HEAD = "update.head"  # the bundle's first lines, up to the signature
HIDDEN = ".new"  # behind the name of app, until the slot is whole and checked
FORMAT = const(1)
PIECE_BYTES = const(192)  # as base64 and in its message some 330: small enough for a heap in small pieces
FLUSH_BYTES = const(384)  # what a power cut costs at most; unflushed bytes may wait in the heap
ANSWER_S = const(10)  # a piece that has not come by then is asked for again
PATIENCE = const(30)  # ... so many times
_MOST_FILES = const(200)
_BLOCK = const(4096)
_FOLDERS_BYTES = const(40960)  # littlefs gives each folder two blocks


class RefusedError(Exception):
    """This bundle is not for this node, and what there is of it is no good; the text says why."""


class SilenceError(Exception):
    """Nobody sends the pieces; what has come stays in flash."""


def as_numbers(version):
    """A version such as 0.2.10 as a list that can be compared; RefusedError where it is none."""
    try:
        return [int(part) for part in version.split(".")]
    except (AttributeError, ValueError):
        raise RefusedError("%s is not a version" % version) from None


def size_of(path):
    """The length of a file; 0 where there is none."""
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


def in_blocks(size):
    """The bytes of flash that a file of this length takes."""
    return (size + _BLOCK - 1) // _BLOCK * _BLOCK


class Update:
    """One bundle on its way into `slot`, which must not be the one that runs.

    wanted: the command's version, bundle (its id), size and head (bytes up to the first file). ask(offset, n): async, asks the sender for
    n bytes. quiet(): async, waits for a moment in which the flash may be written. runs: what this node is: version, chip, loader.
    room(): bytes of flash that may be taken. moved(percent) is called now and then.
    """

    def __init__(self, wanted, slot, key, runs, ask, quiet, room, moved):
        self.bundle = wanted["bundle"]
        self.version = wanted["version"]
        self._size = wanted["size"]
        self._head_bytes = wanted["head"]
        self._slot = slot
        self._folder = "slots/" + slot
        self._key = key
        self._runs = runs
        self._ask = ask
        self._quiet = quiet
        self._room = room
        self._moved = moved
        self._asked = None  # offset of the piece that is waited for
        self._piece = None
        self._stir = asyncio.Event()
        self._files = 0

    # ---- what the sender says

    def take(self, values):
        """A piece, as received: offset, and data in base64. One that was not asked for is dropped."""
        if values.get("offset") != self._asked or self._piece is not None:
            return
        try:
            piece = binascii.a2b_base64(values.get("data"))
        except (TypeError, ValueError):
            return  # asked for again in a while
        if 0 < len(piece) <= PIECE_BYTES:
            self._piece = piece
            self._stir.set()

    def again(self):
        """The sender is there (again): ask at once."""
        self._stir.set()

    # ---- the way of a bundle

    async def run(self):
        """Returns when the slot holds the whole of it, checked. Raises RefusedError, SilenceError or OSError."""
        note = flash.read_json(NOTE) or {}
        if note.get("bundle") != self.bundle or note.get("slot") != self._slot:
            await self._begin()
        else:
            self._hide_app()
        await self._fetch(HEAD, 0, self._head_bytes)
        try:
            self._accept(await self._checked_head())
            await self._fetch_files()
            await self._check_files()
        except RefusedError:
            await self._quiet()
            flash.remove(NOTE)
            flash.remove(HEAD)
            raise
        await self._quiet()
        for path, _, _ in self._rows():
            if self._place(path) != self._folder + "/" + path:
                os.rename(self._place(path), self._folder + "/" + path)

    async def _begin(self):
        """Make the other slot empty. The note comes last: it says that what lies there is of this bundle."""
        await self._quiet()
        flash.remove(NOTE)
        flash.remove(HEAD)
        await wipe(self._folder, self._quiet)
        # Before a block of the spool's is taken. Files fill their blocks badly: with their list it is asked again
        self._expect_room(self._size + _FOLDERS_BYTES)
        flash.make_folder("slots")
        flash.make_folder(self._folder)
        flash.write(NOTE, json.dumps({"bundle": self.bundle, "version": self.version, "slot": self._slot}))

    def _hide_app(self):
        """A slot that was whole before, and came to nothing on trial, is checked again before it gets another."""
        for name in os.listdir(self._folder):
            if name.startswith("app.") and not name.endswith(HIDDEN):
                os.rename(self._folder + "/" + name, self._folder + "/" + name + HIDDEN)

    async def _fetch(self, path, start, size):
        """Append to a file what it lacks of its bytes, which begin at `start` in the bundle."""
        have = size_of(path)
        if have > size:
            flash.remove(path)
            have = 0
        if have == size and size:
            return
        waiting = 0
        with open(path, "ab") as f:
            while have < size:
                piece = await self._piece_at(start + have, min(PIECE_BYTES, size - have))
                await self._quiet()
                f.write(piece)
                have += len(piece)
                waiting += len(piece)
                if waiting >= FLUSH_BYTES or have == size:
                    f.flush()
                    waiting = 0
                self._moved((start + have) * 100 // self._size)
                piece = None

    async def _piece_at(self, offset, n):
        self._asked = offset
        self._piece = None
        for _ in range(PATIENCE):
            self._stir.clear()
            await self._ask(offset, n)
            try:
                await asyncio.wait_for(self._stir.wait(), ANSWER_S)
            except asyncio.TimeoutError:
                pass
            piece = self._piece
            if piece is not None and len(piece) <= n:
                self._asked = self._piece = None
                return piece
            self._piece = None
        raise SilenceError("nobody sent the piece at %d of %d" % (offset, self._size))

    async def _checked_head(self):
        """The head's first line as a dict, once the signature under all its lines has been found right."""
        digest = hashlib.sha256()
        lines = 0
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
        try:
            signed = str(line.strip(), "utf-8")
        except UnicodeError:
            signed = ""
        line = following = None
        gc.collect()  # numbers of twice the key's length want a piece of heap each
        from node import signature

        try:
            good = await signature.genuine(self._key, signed, digest.digest())
        finally:
            sys.modules.pop("node.signature", None)
        if not good:
            raise RefusedError("the signature does not fit this node's update key")
        self._files = lines - 1
        return json.loads(first)

    def _accept(self, head):
        """Raises RefusedError where this bundle, genuine as it is, does not suit this node."""
        runs = self._runs
        if head.get("ffu") != FORMAT:
            raise RefusedError("format %s of bundles is not known here" % head.get("ffu"))
        if head["version"] != self.version:
            raise RefusedError("the bundle holds version %s, not %s" % (head["version"], self.version))
        if head["chip"] != runs["chip"]:
            raise RefusedError("made for the chip %s, this is %s" % (head["chip"], runs["chip"]))
        if head["mpy"] and head["mpy"] != getattr(sys.implementation, "_mpy", 0) & 0xFF:
            raise RefusedError("compiled for another MicroPython (.mpy version %d)" % head["mpy"])
        if head["micropython"] > list(sys.implementation.version[:2]):
            raise RefusedError("needs MicroPython %d.%d: flash the board" % tuple(head["micropython"]))
        if head["loader"] > runs["loader"]:
            raise RefusedError(
                "needs loader %d, here is %d: flash the board" % (head["loader"], runs["loader"])
            )
        if as_numbers(head["version"]) < as_numbers(runs["version"]) and not head["older"]:
            raise RefusedError("older than %s, which runs here" % runs["version"])
        if not 0 < self._files <= _MOST_FILES or self._files != head["files"]:
            raise RefusedError("its list has %d files, not %d" % (self._files, head["files"]))
        size = 0
        wanted = _FOLDERS_BYTES
        for path, length, _ in self._rows():
            if path.startswith("/") or ".." in path:
                raise RefusedError("it would write to %s" % path)
            size += length
            wanted += in_blocks(length) - in_blocks(size_of(self._place(path)))
        if size != head["bytes"] or size + self._head_bytes != self._size:
            raise RefusedError("its list of files does not come to its length")
        self._expect_room(wanted)

    def _expect_room(self, wanted):
        room = self._room()
        if wanted > room:
            raise RefusedError(
                "not enough flash: it needs %d KB, %d KB are free beside the spool"
                % (wanted // 1024, max(0, room) // 1024)
            )

    def _rows(self):
        """(path, length, SHA-256 in hex) of every file, read from the head line by line."""
        with open(HEAD, "rb") as f:
            f.readline()
            for _ in range(self._files):
                yield json.loads(f.readline())

    def _place(self, path):
        """Where a file lies until all are checked."""
        return self._folder + "/" + path + (HIDDEN if path.startswith("app.") else "")

    async def _fetch_files(self):
        start = self._head_bytes
        for path, length, _ in self._rows():
            if "/" in path:
                flash.make_folder(self._folder + "/" + path.rpartition("/")[0])
            await self._fetch(self._place(path), start, length)
            start += length

    async def _check_files(self):
        buffer = bytearray(512)
        for path, length, expected in self._rows():
            digest = hashlib.sha256()
            seen = 0
            with open(self._place(path), "rb") as f:
                while True:
                    n = f.readinto(buffer)
                    if not n:
                        break
                    digest.update(memoryview(buffer)[:n])
                    seen += n
                    await asyncio.sleep_ms(0)  # the doors go first
            if seen != length or str(binascii.hexlify(digest.digest()), "utf-8") != expected:
                raise RefusedError("%s is damaged: its hash is not the one that was signed" % path)


async def wipe(folder, quiet):
    """Delete a slot's folder with all that is in it. First its app: a slot without one is none."""
    try:
        entries = sorted(os.ilistdir(folder), key=lambda entry: not entry[0].startswith("app."))
    except OSError:
        return  # there is none
    for entry in entries:
        path = folder + "/" + entry[0]
        if entry[1] == 0x4000:
            await wipe(path, quiet)
        else:
            await quiet()
            os.remove(path)
    await quiet()
    os.rmdir(folder)
