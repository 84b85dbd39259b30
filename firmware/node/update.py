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
import hashlib
import json
import os

from micropython import const

from node import flash, forget
from node.wake import Wake

NOTE = "update.json"  # what is under way, or what became of it
HEAD = "update.head"  # the bundle's first lines, up to the signature
HIDDEN = ".new"  # behind the name of app, until the slot is whole and checked
PIECE_BYTES = const(192)  # as base64 and in its message some 330: small enough for a heap in small pieces
FLUSH_BYTES = const(384)  # what a power cut costs at most; unflushed bytes may wait in the heap
ANSWER_S = const(10)  # a piece that has not come by then is asked for again
PATIENCE = const(30)  # ... so many times
FOLDERS_BYTES = const(40960)  # littlefs gives each folder two blocks


class RefusedError(Exception):
    """This bundle is not for this node, and what there is of it is no good; the text says why."""


class SilenceError(Exception):
    """Nobody sends the pieces; what has come stays in flash."""


def size_of(path):
    """The length of a file; 0 where there is none."""
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


class Update:
    """One bundle on its way into `slot`, which must not be the one that runs.

    wanted: the command's version, bundle (its id), size and head (bytes up to the first file). ask(offset, n): async, asks the sender for
    n bytes. quiet(): async, waits for a moment in which the flash may be written. moved(percent) is called now and then.
    key: see updater.modulus. runs(): what this node is: version, chip, loader. room(): bytes of flash that may be taken.
    """

    def __init__(self, wanted, slot, key, runs, ask, quiet, room, moved):
        self.bundle = wanted["bundle"]
        self.version = wanted["version"]
        self.size = wanted["size"]
        self.head_bytes = wanted["head"]
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
        self._stir = Wake()
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
        await self._fetch(HEAD, 0, self.head_bytes)
        try:
            await self._judge()
            await self._fetch_files()
            await self._check_files()
        except RefusedError:
            await self._quiet()
            flash.remove(NOTE)
            flash.remove(HEAD)
            raise
        await self._quiet()
        for path, _, _ in self.rows(self._files):
            if self.place(path) != self._folder + "/" + path:
                os.rename(self.place(path), self._folder + "/" + path)

    async def _begin(self):
        """Make the other slot empty. The note comes last: it says that what lies there is of this bundle."""
        await self._quiet()
        flash.remove(NOTE)
        flash.remove(HEAD)
        await wipe(self._folder, self._quiet)
        # Before a block of the spool's is taken. Files fill their blocks badly: with their list it is asked again
        self.expect_room(self.size + FOLDERS_BYTES)
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
                self._moved((start + have) * 100 // self.size)
                piece = None

    async def _piece_at(self, offset, n):
        self._asked = offset
        self._piece = None
        for _ in range(PATIENCE):
            self._stir.clear()
            await self._ask(offset, n)
            await self._stir.within(ANSWER_S * 1000)
            piece = self._piece
            if piece is not None and len(piece) <= n:
                self._asked = self._piece = None
                return piece
            self._piece = None
        raise SilenceError("nobody sent the piece at %d of %d" % (offset, self.size))

    async def _judge(self):
        """Raises RefusedError where the head is not genuine, or the bundle is not for this node."""
        from node import signature

        try:
            good = await signature.under(HEAD, self._key)
        finally:
            signature = None
            forget("node.signature")
        if not good:
            raise RefusedError("the signature does not fit this node's update key")
        from node import head

        try:
            self._files = head.files_of(self, self._runs())
        finally:
            head = None
            forget("node.head")

    def expect_room(self, wanted):
        """RefusedError where that many bytes of flash may not be taken."""
        room = self._room()
        if wanted > room:
            raise RefusedError(
                "not enough flash: it needs %d KB, %d KB are free beside the spool"
                % (wanted // 1024, max(0, room) // 1024)
            )

    def rows(self, files):
        """(path, length, SHA-256 in hex) of that many files, read from the head line by line."""
        with open(HEAD, "rb") as f:
            f.readline()
            for _ in range(files):
                yield json.loads(f.readline())

    def place(self, path):
        """Where a file lies until all are checked."""
        return self._folder + "/" + path + (HIDDEN if path.startswith("app.") else "")

    async def _fetch_files(self):
        start = self.head_bytes
        for path, length, _ in self.rows(self._files):
            if "/" in path:
                flash.make_folder(self._folder + "/" + path.rpartition("/")[0])
            await self._fetch(self.place(path), start, length)
            start += length

    async def _check_files(self):
        buffer = bytearray(512)
        for path, length, expected in self.rows(self._files):
            digest = hashlib.sha256()
            seen = 0
            with open(self.place(path), "rb") as f:
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
