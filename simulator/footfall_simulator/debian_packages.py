"""Unpack packages of one Debian release into a folder: without root, and without touching the system's own apt.

`parts` calls `unpack` for the programs that the simulator and the tests run. What the system's administrator has set up
stays in force: the mirror, proxies and passwords of the system's apt configuration are used, only the release is
another. Signatures are checked with the system's own Debian keyring.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

__all__ = ["SUITE", "FetchError", "unpack"]

Say = Callable[[str], None]

SUITE = (
    "trixie"  # Debian 13: the first with MicroPython >= 1.24; its packages bring their own C library along
)
MIRROR_VARIABLE = "FOOTFALL_DEBIAN_MIRROR"
APT_FOLDER = Path("/etc/apt")
KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
LISTS_FRESH_S = 6 * 3600  # a point release replaces packages; a failed download also refreshes the list
STEP_LIMIT_S = 600  # a mirror that trickles must not hold a build for ever
STILL_WAITING_S = 10


class FetchError(Exception):
    """Packages cannot be fetched; the text says what was tried and what the tool answered."""


def unpack(packages: Sequence[str], into: Path, workshop: Path, say: Say) -> None:
    """Download `packages` (exactly these, no dependencies) and unpack them below `into`.

    `workshop` keeps the package lists and the downloaded files between calls; the caller makes sure that one process
    uses it at a time. `say` gets a line before each step that may take seconds. Raises FetchError.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise FetchError(f"{tool} is not on this system (Debian and its relatives have it)")
    keyring = next((path for path in KEYRINGS if path.exists()), None)
    if keyring is None:
        raise FetchError(
            f"{KEYRINGS[0]} is missing (package debian-archive-keyring), so signatures cannot be checked"
        )
    workshop.mkdir(parents=True, exist_ok=True)
    apt = _PrivateApt(workshop.resolve(), keyring, say)
    for package in apt.download(packages):
        _run(["dpkg-deb", "-x", str(package), str(into)], workshop, say)


class _PrivateApt:
    """apt-get with its own sources, lists and cache in one folder."""

    def __init__(self, folder: Path, keyring: Path, say: Say) -> None:
        self._folder = folder
        self._keyring = keyring
        self._say = say
        self._config = folder / "apt.conf"
        self._sources = folder / "sources"
        self._lists_stamp = folder / "lists-complete"
        for name in ("sources", "state/lists/partial", "cache/archives/partial", "debs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text("")  # nothing is installed in the private world
        # Read with -c, that is after the system's configuration: proxies and passwords stay, these settings win.
        self._config.write_text(
            "#clear APT::Update::Pre-Invoke;\n"
            "#clear APT::Update::Post-Invoke;\n"
            "#clear APT::Update::Post-Invoke-Success;\n"
            'Dir::Etc::sourcelist "/dev/null";\n'
            f'Dir::Etc::sourceparts "{self._sources}";\n'
            'Dir::Etc::preferences "/dev/null";\n'
            'Dir::Etc::preferencesparts "/dev/null";\n'
            f'Dir::State "{folder / "state"}";\n'
            f'Dir::State::status "{folder / "status"}";\n'
            f'Dir::Cache "{folder / "cache"}";\n'
            'APT::Sandbox::User "root";\n'  # root may fetch into a folder that the user _apt cannot write
            'APT::Update::Error-Mode "any";\n'
            'Acquire::Languages "none";\n'
            'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\n'
            'Acquire::Retries "2";\n'
            'Acquire::http::Timeout "30";\n'
            'Acquire::https::Timeout "30";\n'
        )

    def download(self, packages: Sequence[str]) -> list[Path]:
        """The packages' files, in the order asked for."""
        fresh = self._lists_are_fresh()
        if not fresh:
            self._update()
        try:
            return self._download(packages)
        except FetchError:
            if not fresh:
                raise
            self._update()  # the mirror may have replaced a package since
            return self._download(packages)

    def _download(self, packages: Sequence[str]) -> list[Path]:
        debs = self._folder / "debs"
        self._say(f"downloading {len(packages)} Debian packages (a few MB)")
        _run(["apt-get", "-c", str(self._config), "-q", "download", *packages], debs, self._say)
        files = []
        for package in packages:
            found = sorted(debs.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
            if not found:
                raise FetchError(f"apt-get download left no file for {package}")
            files.append(found[-1])
            for outdated in found[:-1]:
                outdated.unlink()
        return files

    def _lists_are_fresh(self) -> bool:
        try:
            age_s = time.time() - self._lists_stamp.stat().st_mtime
        except FileNotFoundError:
            return False
        return 0 <= age_s < LISTS_FRESH_S

    def _update(self) -> None:
        """Read the release's package list, from the first of the system's mirrors that has it."""
        self._lists_stamp.unlink(missing_ok=True)
        mirrors = _mirrors()
        if not mirrors:
            raise FetchError(
                f"no Debian mirror stands in {APT_FOLDER}; name one: {MIRROR_VARIABLE}=http://…/debian"
            )
        refused = []
        for mirror in mirrors:
            (self._sources / "debian.sources").write_text(
                f"Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\nSigned-By: {self._keyring}\n"
            )
            self._say(f"reading the package list of Debian {SUITE} from {mirror} (10 MB)")
            try:
                _run(["apt-get", "-c", str(self._config), "-q", "update"], self._folder, self._say)
            except FetchError as error:
                refused.append(f"{mirror}: {error}")
                continue
            self._lists_stamp.touch()
            return
        raise FetchError("; ".join(refused))


def _mirrors() -> list[str]:
    """Where to ask: what FOOTFALL_DEBIAN_MIRROR names, then what this Debian system has in its own package sources."""
    named = os.environ.get(MIRROR_VARIABLE)
    found = [named] if named else []
    release = _os_release()
    if release.get("ID") == "debian":
        names = {release.get("VERSION_CODENAME", ""), "stable", "oldstable", "testing", "sid", "unstable"}
        found += [uri for uri, suite in _configured_sources() if suite in names]
    return list(dict.fromkeys(uri.rstrip("/") for uri in found))


def _configured_sources() -> Iterator[tuple[str, str]]:
    """(URI, suite) of every package source in /etc/apt, in both of its notations; also where no list was ever read."""
    files = [APT_FOLDER / "sources.list", *sorted((APT_FOLDER / "sources.list.d").glob("*"))]
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if file.suffix == ".sources":
            for paragraph in text.split("\n\n"):
                fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)", paragraph, re.MULTILINE))
                if "deb" not in fields.get("Types", "").split() or fields.get("Enabled", "yes") == "no":
                    continue
                yield from itertools.product(fields.get("URIs", "").split(), fields.get("Suites", "").split())
        elif file.suffix == ".list":
            yield from re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", text, re.MULTILINE)


def _os_release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {key: value.strip("\"'") for key, _, value in pairs}


def _run(command: Sequence[str], folder: Path, say: Say) -> None:
    """Run a command, with a line every now and then while it takes long; FetchError with its complaint if it fails."""
    log = folder / "log.txt"
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(STILL_WAITING_S)
                except subprocess.TimeoutExpired:
                    waited_s = time.monotonic() - started
                    if waited_s > STEP_LIMIT_S:
                        raise FetchError(f"{command[0]} did not finish within {STEP_LIMIT_S} s") from None
                    say(f"still at it after {waited_s:.0f} s")
        finally:
            if process.poll() is None:  # Ctrl-C, or too long
                process.terminate()
                process.wait()
    if process.returncode != 0:
        raise FetchError(
            _complaint(log.read_text(encoding="utf-8", errors="replace")) or f"{command[0]} failed"
        )


def _complaint(output: str) -> str:
    """What an apt or dpkg run complained about, in one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [
        line.removeprefix("E:").strip() for line in lines if line.startswith(("E:", "dpkg-deb: error:"))
    ]
    return (errors or lines or [""])[0]
