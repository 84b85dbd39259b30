"""The firmware into the flash of a board, so that the one that is there can be started at every moment.

A slot that is not in use is filled, `app.mpy`, without which the loader takes it for empty, at last; then start.json names it; then
main.py, if it is another. A file is written beside its place, compared by its SHA-256 on the board, then renamed. What is there
already is left alone, so that a copying that was interrupted goes on where it stopped.
"""

import base64
import errno
import hashlib
import json
from collections.abc import Callable, Sequence

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.device_files import DeviceFile
from footfall_gateway.commissioning.language import tr
from footfall_gateway.commissioning.repl import BoardError, Facts, Prompt

__all__ = ["Copier", "current_slot", "other_slot"]

CHUNK_BYTES = 768  # what it becomes in base64 fits twice into the window of the board's raw prompt
NOTES = "start.json"
MARK = "app.mpy"  # what makes a slot a firmware: main.slots
LEFTOVERS = (
    "app.py",
    "app.mpy",
    "board",
    "node",
    "lib/footfall_core",
    "footfall_core",
)  # of a copying by hand

_TOOLS = """
import os, hashlib, binascii
def same(path):
    try:
        f = open(path, "rb")
    except OSError:
        return ""
    h = hashlib.sha256()
    b = bytearray(512)
    while True:
        n = f.readinto(b)
        if not n:
            break
        h.update(memoryview(b)[:n])
    f.close()
    return binascii.hexlify(h.digest()).decode()
def folder(path):
    at = ""
    for part in path.split("/")[:-1]:
        at += part
        try:
            os.mkdir(at)
        except OSError:
            pass
        at += "/"
def gone(path):
    try:
        os.remove(path)
        return
    except OSError:
        pass
    try:
        for row in os.ilistdir(path):
            gone(path + "/" + row[0])
        os.rmdir(path)
    except OSError:
        pass
def below(path, found):
    try:
        for row in os.ilistdir(path):
            if row[1] == 0x4000:
                below(path + "/" + row[0], found)
            else:
                found.append(path + "/" + row[0])
    except OSError:
        pass
    return found
"""

Progress = Callable[[int, int], None]  # bytes done, of how many


def current_slot(facts: Facts) -> str:
    """The slot that the loader would start, "" where there is none (main.choose)."""
    found = [slot for slot in ("a", "b") if MARK in facts.slots[slot] or "app.py" in facts.slots[slot]]
    wanted = facts.notes.get("slot")
    return wanted if wanted in found else (found[0] if found else "")


def other_slot(slot: str) -> str:
    return "b" if slot == "a" else "a"


class Copier:
    """Puts files onto the board behind `prompt`. Every method may be repeated."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        prompt.run(_TOOLS)
        self._here: dict[str, str] = {}

    def install(
        self, files: Sequence[DeviceFile], loader: DeviceFile, facts: Facts, progress: Progress
    ) -> str:
        """Make this firmware the one that starts; returns its slot. The files of a slot come first, then the switch."""
        slot = current_slot(facts)
        if not slot or not self.has(slot, files):
            slot = other_slot(slot) if slot else "a"
            self._fill(slot, files, progress)
        notes = {"slot": slot, "short": 0}
        if {key: facts.notes.get(key) for key in notes} != notes or "trial" in facts.notes:
            self.put(NOTES, json.dumps(notes).encode())
        self.put(loader.path, loader.content)
        for path in LEFTOVERS:
            self._prompt.run(f"gone({path!r})")
        progress(1, 1)
        return slot

    def missing(self, slot: str, files: Sequence[DeviceFile]) -> list[DeviceFile]:
        """Of these, what is not in the slot yet."""
        self._read_hashes([f"slots/{slot}/{file.path}" for file in files])
        return [file for file in files if self._here[f"slots/{slot}/{file.path}"] != _hash(file.content)]

    def has(self, slot: str, files: Sequence[DeviceFile]) -> bool:
        """Whether the slot holds these files and no others."""
        return not self.missing(slot, files) and not self._superfluous(slot, files)

    def put(self, path: str, content: bytes, progress: Progress | None = None) -> None:
        """Write one file, whole or not at all; nothing where it is there already."""
        if self._hash_there(path) == _hash(content):
            return
        new = path + ".new"
        try:
            self._prompt.run(f"folder({path!r})\nf = open({new!r}, 'wb')")
            for at in range(0, len(content), CHUNK_BYTES):
                piece = base64.b64encode(content[at : at + CHUNK_BYTES]).decode()
                self._prompt.run(f"_ = f.write(binascii.a2b_base64({piece!r}))")
                if progress is not None:
                    progress(min(at + CHUNK_BYTES, len(content)), len(content))
            self._prompt.run("f.close()")
        except BoardError as error:
            if _is_full(error):
                raise self._full(path, new) from None
            raise
        if self._hash_there(new) != _hash(content):
            self._prompt.run(f"gone({new!r})")
            raise BoardError(
                tr("{path}: did not arrive as it was sent", path=path),
                tr(
                    "Try again, with another cable or another socket. If it stays so, the board's flash is worn out."
                ),
            )
        self._prompt.run(f"os.rename({new!r}, {path!r})")

    def _fill(self, slot: str, files: Sequence[DeviceFile], progress: Progress) -> None:
        todo = self.missing(slot, files)
        superfluous = self._superfluous(slot, files)
        if todo or superfluous:
            self._prompt.run(f"gone('slots/{slot}/{MARK}')")
        for path in superfluous:
            self._prompt.run(f"gone({path!r})")
        mark = next(file for file in files if file.path == MARK)
        todo = [file for file in todo if file is not mark] + [mark]
        whole, done = sum(len(file.content) for file in todo), 0
        for file in todo:
            self.put(f"slots/{slot}/{file.path}", file.content, _beginning_at(done, whole, progress))
            done += len(file.content)
            progress(done, whole)

    def _superfluous(self, slot: str, files: Sequence[DeviceFile]) -> list[str]:
        wanted = {f"slots/{slot}/{file.path}" for file in files}
        there = json.loads(self._prompt.run(f"import json\nprint(json.dumps(below('slots/{slot}', [])))"))
        return [path for path in there if path not in wanted]

    def _read_hashes(self, paths: Sequence[str]) -> None:
        for path in paths:
            self._here[path] = self._hash_there(path)

    def _hash_there(self, path: str) -> str:
        return self._prompt.run(f"print(same({path!r}))").strip()

    def _full(self, path: str, new: str) -> CommissioningError:
        self._prompt.run(f"try:\n f.close()\nexcept OSError:\n pass\ngone({new!r})")
        return CommissioningError(
            tr("{path}: the board's flash is full", path=path),
            tr(
                "The records that wait in it take the room. Let the node reach its gateway and send them, then try again."
            ),
            tr("The firmware that was on the board is still there and starts after a reset."),
        )


def _beginning_at(done: int, whole: int, progress: Progress) -> Progress:
    return lambda here, _: progress(done + here, whole)


def _is_full(error: BoardError) -> bool:
    text = error.lines[0]
    return "ENOSPC" in text or f"OSError: {errno.ENOSPC}" in text


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
