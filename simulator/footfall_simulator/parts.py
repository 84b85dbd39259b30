"""The real programs behind the simulation: MicroPython, and for the tests mosquitto, InfluxDB and a JavaScript engine.

`find(name)` takes, in this order: the program named by an environment variable, the system's own if it is new enough,
or a private copy of the Debian package, fetched once into the parts folder (`FOOTFALL_PARTS`, by default `.parts` beside
`pyproject.toml`). No root is needed. The virtual board asks for `micropython()`; the test servers for the others.

`python -m footfall_simulator.parts [NAME...]` fetches what is missing and prints what is used.
"""

from __future__ import annotations

import argparse
import fcntl
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from footfall_simulator import debian_packages

__all__ = ["NAMES", "Command", "Micropython", "Part", "PartError", "find", "micropython"]

Say = Callable[[str], None]
Version = tuple[int, ...]

PROBE_LIMIT_S = 30  # asking a program for its version; generous for a loaded machine
SYSTEM_FOLDERS = (
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
)  # not on an ordinary user's PATH, but mosquitto lives there


class PartError(Exception):
    """A program is neither here nor to be had; the text says what was tried and what to do."""


@dataclass(frozen=True)
class Part:
    """A program that can be started, and where it comes from."""

    name: str
    version: str
    origin: str
    launch: tuple[
        str, ...
    ]  # the start of the argv: the program, or a loader with its library path and the program

    def argv(self, *arguments: str) -> list[str]:
        return [*self.launch, *arguments]


class Command(NamedTuple):
    """What subprocess needs to start a program."""

    argv: list[str]
    env: dict[str, str]


@dataclass(frozen=True)
class Micropython:
    """The MicroPython Unix port."""

    part: Part

    def command(self, args: Sequence[str], *, heap_kb: int, path: Sequence[Path | str]) -> Command:
        """How to run `args` (a script and its arguments, or -c CODE) with this heap.

        `path` are the folders that imports are looked for in, before the frozen modules: they override built-in
        modules as well. The process takes its working directory as the board's flash root.
        """
        env = {key: value for key, value in os.environ.items() if not key.startswith("MICROPY")}
        env["MICROPYPATH"] = ":".join([*(str(folder) for folder in path), ".frozen"])
        return Command(self.part.argv("-X", f"heapsize={heap_kb}k", *args), env)


@dataclass(frozen=True)
class _Recipe:
    """How to recognise and how to fetch one program."""

    title: str
    programs: tuple[str, ...]  # names to look for on the system
    override: str  # the environment variable that names a program to use
    probe: tuple[str, ...]  # arguments that make it print its version
    version: str  # a pattern for the version in that output
    at_least: Version
    below: Version
    packages: tuple[str, ...]  # Debian packages: the program's own first, then the libraries it loads
    program: str  # where the package puts it
    install: str  # what an administrator would type


# The C library comes along: a program of Debian 13 does not run on the one of Debian 12.
_RECIPES = {
    "micropython": _Recipe(
        title="MicroPython",
        programs=("micropython",),
        override="FOOTFALL_MICROPYTHON",
        # A build without asyncio or TLS would fail later, and less clearly
        probe=("-c", "import sys, asyncio, tls; print('v%d.%d.%d' % sys.implementation.version[:3])"),
        version=r"v(\d+\.\d+\.\d+)",
        at_least=(1, 24),
        below=(2,),
        packages=("micropython", "libc6", "libffi8", "libmbedtls21", "libmbedcrypto16", "libmbedx509-7"),
        program="usr/bin/micropython",
        install="micropython",
    ),
    "mosquitto": _Recipe(
        title="mosquitto",
        programs=("mosquitto",),
        override="FOOTFALL_MOSQUITTO",
        probe=("-h",),
        version=r"mosquitto version (\d+\.\d+\.\d+)",
        at_least=(2, 0),
        below=(3,),
        packages=(
            "mosquitto",
            "libc6",
            "libcap2",
            "libcjson1",
            "libdlt2",
            "libssl3t64",
            "libsystemd0",
            "libwebsockets19t64",
            "libwrap0",
            "libzstd1",
            "zlib1g",
        ),
        program="usr/sbin/mosquitto",
        install="mosquitto",
    ),
    "influxdb": _Recipe(
        title="InfluxDB 1.x",
        programs=("influxd",),
        override="FOOTFALL_INFLUXD",
        probe=("version",),
        version=r"InfluxDB v(\d+\.\d+\.\d+)",
        at_least=(1, 6),
        below=(2,),
        packages=("influxdb", "libc6"),
        program="usr/bin/influxd",
        install="influxdb",
    ),
    "quickjs": _Recipe(
        title="QuickJS",
        programs=("qjs",),
        override="FOOTFALL_QUICKJS",
        probe=("-h",),
        version=r"QuickJS version (\d{4})",  # its versions are dates
        at_least=(2021,),
        below=(3000,),
        packages=("quickjs", "libc6"),
        program="usr/bin/qjs",
        install="quickjs",
    ),
}
NAMES = tuple(_RECIPES)


def find(name: str, say: Say | None = None) -> Part:
    """The part `name` (one of NAMES), fetched if need be; `say` gets progress lines, by default on stderr.

    Raises PartError.
    """
    return _find(name, _parts_folder(), say or _say_on_stderr)


def micropython(say: Say | None = None) -> Micropython:
    """MicroPython 1.24 or newer; raises PartError."""
    return Micropython(find("micropython", say))


@functools.cache
def _find(name: str, folder: Path, say: Say) -> Part:
    recipe = _RECIPES[name]
    override = os.environ.get(recipe.override)
    if override:
        version, reason = _probe(recipe, (override,))
        if version is None:
            raise PartError(f"{recipe.override} names {override}, which cannot be used: {reason}")
        return Part(name, version, f"named by {recipe.override}", (override,))
    program = _on_this_system(recipe.programs)
    reason = "it is not installed"
    if program is not None:
        version, reason = _probe(recipe, (program,))
        if version is not None:
            return Part(name, version, "of this system", (program,))
    return _private_copy(name, recipe, folder, say, f"{recipe.title}: {reason}")


def _on_this_system(programs: Sequence[str]) -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    return next((found for name in programs if (found := shutil.which(name, path=path))), None)


def _probe(recipe: _Recipe, launch: Sequence[str]) -> tuple[str | None, str]:
    """The program's version if it can be used; else None and the reason."""
    try:
        answer = subprocess.run(
            [*launch, *recipe.probe],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=PROBE_LIMIT_S,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"{launch[-1]} does not start ({error})"
    match = re.search(recipe.version, answer)
    if match is None:
        last_line = (answer.strip().splitlines() or ["no output"])[-1]
        return None, f"{launch[-1]} does not tell its version ({last_line})"
    version = match.group(1)
    if not recipe.at_least <= tuple(int(number) for number in version.split(".")) < recipe.below:
        return None, f"{launch[-1]} is version {version}, and {_dotted(recipe.at_least)} or newer is needed"
    return version, ""


def _private_copy(name: str, recipe: _Recipe, folder: Path, say: Say, why: str) -> Part:
    copy = folder / name
    part = _load(name, recipe, copy)
    if part is not None:
        return part
    try:
        with _lock(folder, say):
            part = _load(name, recipe, copy)  # another process may have fetched it while this one waited
            if part is None:
                say(f"{why}; fetching a private copy into {copy} (no root needed)")
                part = _fetch(name, recipe, copy, say)
    except debian_packages.FetchError as error:
        raise PartError(
            _what_to_do(recipe, f"{why}, and the Debian package cannot be fetched: {error}")
        ) from error
    except OSError as error:
        raise PartError(
            _what_to_do(recipe, f"{why}, and {folder} cannot hold a private copy: {error}")
        ) from error
    say(f"{recipe.title} {part.version} is ready")
    return part


def _what_to_do(recipe: _Recipe, problem: str) -> str:
    return (
        f"{problem.rstrip('.')}. Install {recipe.title} {_dotted(recipe.at_least)} or newer "
        f"(as root: apt install {recipe.install}), or set {recipe.override} to the program."
    )


def _fetch(name: str, recipe: _Recipe, copy: Path, say: Say) -> Part:
    """Unpack beside the final place, try the program, and only then put it in its place."""
    unfinished = copy.with_name(f"{name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        debian_packages.unpack(
            recipe.packages, unfinished, copy.parent / "debian", lambda line: say(f"  {line}")
        )
        version, reason = _probe(recipe, _launch(recipe, unfinished))
        if version is None:
            raise debian_packages.FetchError(f"the unpacked program cannot be used: {reason}")
        (unfinished / "part.json").write_text(
            json.dumps({"version": version, "suite": debian_packages.SUITE, "packages": recipe.packages})
            + "\n"
        )
        shutil.rmtree(copy, ignore_errors=True)
        unfinished.rename(copy)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    part = _load(name, recipe, copy)
    if part is None:
        raise debian_packages.FetchError(f"{copy} is not readable after unpacking")
    return part


def _load(name: str, recipe: _Recipe, copy: Path) -> Part | None:
    """The private copy if it is complete and made by today's recipe."""
    try:
        made = json.loads((copy / "part.json").read_text(encoding="utf-8"))
        if made["suite"] != debian_packages.SUITE or tuple(made["packages"]) != recipe.packages:
            return None
        return Part(name, str(made["version"]), f"private copy in {copy}", _launch(recipe, copy))
    except (OSError, ValueError, LookupError, TypeError, debian_packages.FetchError):
        return None


def _launch(recipe: _Recipe, root: Path) -> tuple[str, ...]:
    """Start through the copy's own loader, so that it finds the copy's libraries and not the system's."""
    loaders = sorted((root / "usr/lib").glob("*-linux-*/ld-*.so.*"))
    if not loaders:
        raise debian_packages.FetchError(f"no program loader below {root}")
    loader = loaders[0]
    return (str(loader), "--inhibit-cache", "--library-path", str(loader.parent), str(root / recipe.program))


@contextmanager
def _lock(folder: Path, say: Say) -> Iterator[None]:
    """One process at a time fetches; the kernel lets go when a process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another process that is fetching parts")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _parts_folder() -> Path:
    chosen = os.environ.get("FOOTFALL_PARTS")
    if chosen:
        return Path(chosen).resolve()
    project = Path(__file__).resolve().parents[2]
    if (project / "pyproject.toml").exists():
        return project / ".parts"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "footfall" / "parts"


def _dotted(version: Version) -> str:
    return ".".join(str(number) for number in version)


def _say_on_stderr(line: str) -> None:
    sys.stderr.write(f"parts: {line}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m footfall_simulator.parts",
        description="Find the programs that the simulation and the tests run, and fetch those that are missing.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)} (all if none is given)")
    names = parser.parse_args(arguments).names or NAMES
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: the parts are {', '.join(NAMES)}")
    try:
        for name in names:
            part = find(name)
            sys.stdout.write(f"{_RECIPES[name].title} {part.version}, {part.origin}\n")
    except PartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; what was fetched so far is kept.\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
