"""Bring .venv to the state that a make target needs: `python3 .ci/setup_venv.py demo|dev|bench ...`.

The Makefile calls this before anything else, with the machine's own Python; it needs nothing but that and pip (no root,
no python3-venv, no compiler, no git), and is quick when there is nothing to do. It installs Footfall itself in editable
mode with the named extras, and again whenever what the installation is made of has changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

VENV = Path(".venv")
VENV_PYTHON = VENV / "bin" / "python"
STATE = VENV / "footfall-installed.json"
BUILD = Path("build")
LOG = BUILD / "setup.log"
DETAILS = (
    BUILD / "setup-details.log"
)  # with what the C compiler said, even when the installation did without it
OLDEST_PYTHON = (3, 11)
OLDEST_PIP = (22, 3)  # the first with --python, which installs into a venv that has no pip of its own
STILL_WAITING_S = 15
COMPILED_ENGINE = "gateway/footfall_gateway/_*.so"
SOURCES = (  # what the installation is made of; all other files are used where they are
    "pyproject.toml",
    "setup.py",
    "firmware/lib/footfall_core/*.py",  # compiled for the gateway
    "gateway/footfall_gateway/*.px*",
)


class SetupError(Exception):
    """What is wrong and what to do, in words for a person."""


def main(extras: list[str]) -> None:
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another make that is setting up .venv")
            fcntl.flock(lock, fcntl.LOCK_EX)
        set_up(set(extras))


def set_up(extras: set[str]) -> None:
    ensure_venv()
    state = read_state()
    before = set(state.get("extras", ()))
    made_of = fingerprint()
    if state.get("made_of") == made_of and extras <= before and footfall_is_importable():
        return
    if state:
        say("Installing Footfall into .venv again, as what it is made of has changed (usually some seconds)")
    else:
        say("Installing Footfall and the libraries it uses into .venv (the first time: a minute or two)")
    STATE.unlink(missing_ok=True)
    for old in Path().glob(COMPILED_ENGINE):
        old.unlink()  # it must not survive a compilation that fails
    pip_install("-e", f".[{','.join(sorted(extras | before))}]")
    STATE.write_text(json.dumps({"made_of": made_of, "extras": sorted(extras | before)}) + "\n")
    tell_engine()


def ensure_venv() -> None:
    version = venv_version()
    if version is not None and version >= OLDEST_PYTHON:
        return
    say(f"Making .venv with Python {sys.version.split()[0]} ({sys.executable})")
    shutil.rmtree(VENV, ignore_errors=True)  # half made, or of a Python that is gone
    # Without pip: Debian splits that part of venv off into a package that may be missing
    run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], "making .venv failed")


def venv_version() -> tuple[int, ...] | None:
    """The version of .venv's Python, or None if there is no working one."""
    code = "import sys; assert sys.prefix != sys.base_prefix; print(*sys.version_info[:3])"
    answer = output_of(VENV_PYTHON, "-c", code)
    return None if answer is None else tuple(int(number) for number in answer.split())


def footfall_is_importable() -> bool:
    return (
        output_of(VENV_PYTHON, "-I", "-c", "import footfall_core, footfall_gateway, footfall_simulator")
        is not None
    )


def pip_install(*what: str) -> None:
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    environment["PIP_USER"] = "0"  # a user's setting for other work
    run(
        [*find_pip(), "install", *options, *what],
        "pip could not install what is needed (is the network there?)",
        environment,
    )


def find_pip() -> list[str]:
    """The argv of a pip that can install into .venv."""
    own = [str(VENV_PYTHON), "-m", "pip"]
    if output_of(*own, "--version") is not None:
        return own
    found = "there is none"
    answer = output_of(sys.executable, "-m", "pip", "--version")
    match = re.match(r"pip (\d+)\.(\d+)", answer or "")
    if match is not None:
        if (int(match[1]), int(match[2])) >= OLDEST_PIP:
            return [sys.executable, "-m", "pip", "--python", str(VENV_PYTHON)]
        found = f"its pip is {match[1]}.{match[2]}"
    if output_of(VENV_PYTHON, "-m", "ensurepip") is not None:  # a Python that brings its own pip along
        return own
    raise SetupError(
        f"pip {dotted(OLDEST_PIP)} or newer is needed for {sys.executable}, and {found}.\n"
        "Install it (Debian, as root: apt install python3-pip), then run make again."
    )


def tell_engine() -> None:
    """One line if the counting core could not be compiled: everything works, only slower."""
    if (
        output_of(VENV_PYTHON, "-I", "-c", "import footfall_gateway._beam, footfall_gateway._columns")
        is not None
    ):
        return
    header = output_of(
        VENV_PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('include') + '/Python.h')"
    )
    if compiler() is None:
        reason = "there is no C compiler"
    elif header is None or not Path(header.strip()).exists():
        reason = "there is no Python.h; on Debian it comes with python3-dev"
    else:
        reason = f"the C compiler failed; see its words with: {' '.join(find_pip())} install -v -e ."
    say(f"Counting uses the pure-Python engine ({reason}): same results, only large recounts take longer")


def compiler() -> str | None:
    """The C compiler that an extension would be built with."""
    chosen = os.environ.get("CC", "").split()[:1]
    return next((path for name in [*chosen, "cc", "gcc"] if (path := shutil.which(name))), None)


def fingerprint() -> str:
    """Of everything that the installation is made of: a change means installing again."""
    digest = hashlib.sha256(repr((venv_version(), compiler())).encode())
    for pattern in SOURCES:
        for path in sorted(Path().glob(pattern)):
            digest.update(f"{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def read_state() -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads(STATE.read_text())
    except (OSError, ValueError):
        return {}
    return state


def run(command: list[str], complaint: str, environment: dict[str, str] | None = None) -> None:
    """Run a command with its output in the log; the log's end is shown if it fails."""
    started = time.monotonic()
    with LOG.open("w") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(STILL_WAITING_S)
                except subprocess.TimeoutExpired:
                    say(
                        f"  still at it after {time.monotonic() - started:.0f} s: {log_lines()[-1].strip()[:80]}"
                    )
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        end = "\n".join(log_lines()[-25:])
        raise SetupError(f"{end}\n\n{complaint.capitalize()}; the whole output is in {LOG}")


def log_lines() -> list[str]:
    return [line for line in LOG.read_text(errors="replace").splitlines() if line.strip()]


def output_of(*command: str | Path) -> str | None:
    """What a quick command prints, or None if it fails."""
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SetupError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        say("Stopped. The next make goes on from here.")
        sys.exit(130)
