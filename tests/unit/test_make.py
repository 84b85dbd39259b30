"""`make` on machines that lack something: it says in one line what, and leaves nothing half done."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


class Checkout:
    """A copy of the build's files, with a pretended Python that hands on to the real one what it does not answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "pretended-python"
        shutil.copy(PROJECT / "Makefile", folder)
        shutil.copytree(PROJECT / ".ci", folder / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "pyproject.toml").touch()

    def pretend(self, script: str) -> None:
        self.python.write_text(f'#!/bin/sh\n{script}\nexec "{sys.executable}" "$@"\n')
        self.python.chmod(0o755)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "PIP"))
        }
        return subprocess.run(
            ["make", f"PYTHON={self.python}", *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path: Path):
    return Checkout(tmp_path)


def test_help_is_the_default_and_names_every_target(checkout: Checkout):
    makefile = (PROJECT / "Makefile").read_text()
    public = re.search(r"^\.PHONY: help (.*) setup parts$", makefile, re.MULTILINE)
    assert public is not None
    shown = checkout.make()
    assert shown.returncode == 0
    for target in public[1].split():
        assert f"make {target}" in shown.stdout


def test_an_old_python_is_refused_by_its_version(checkout: Checkout):
    checkout.pretend('case "$1" in -V) echo Python 3.9.2; exit;; -c) exit 1;; esac')
    refused = checkout.make("demo")
    assert refused.returncode != 0
    assert f"Python 3.11 or newer is needed, and {checkout.python} is Python 3.9.2." in refused.stdout
    assert not (checkout.folder / ".venv").exists()


def test_a_missing_python_is_named(checkout: Checkout):
    refused = checkout.make("demo")
    assert refused.returncode != 0
    assert f"{checkout.python} is not on this system" in refused.stdout


NO_ENSUREPIP = "import sys; sys.modules['ensurepip'] = None\n"  # as on a Debian without python3-venv


@pytest.mark.parametrize(
    ("answer", "found"),
    [("exit 1", "there is none"), ("echo pip 20.3.4 from somewhere", "its pip is 20.3")],
)
def test_a_missing_or_old_pip_is_named_with_what_to_install(checkout: Checkout, monkeypatch, answer, found):
    (checkout.folder / "sitecustomize.py").write_text(NO_ENSUREPIP)
    monkeypatch.setenv("PYTHONPATH", str(checkout.folder))
    checkout.pretend(f'if [ "$2" = pip ]; then {answer}; exit; fi')
    make_believe_executable(checkout)
    refused = checkout.make("demo")
    assert refused.returncode != 0
    assert f"pip 22.3 or newer is needed for {checkout.python}, and {found}." in refused.stderr
    assert "apt install python3-pip" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_what_pip_said_is_shown_when_it_fails_and_nothing_counts_as_installed(
    checkout: Checkout, monkeypatch
):
    (checkout.folder / "sitecustomize.py").write_text(NO_ENSUREPIP)
    monkeypatch.setenv("PYTHONPATH", str(checkout.folder))
    checkout.pretend(
        'case "$*" in *"pip --version"*) echo pip 23.0.1 from somewhere; exit;;'
        ' *pip*install*) echo "no route to the index"; exit 1;; esac'
    )
    make_believe_executable(checkout)
    refused = checkout.make("demo")
    assert refused.returncode != 0
    assert "no route to the index" in refused.stderr
    assert "Pip could not install what is needed" in refused.stderr
    assert not (checkout.folder / ".venv/footfall-installed.json").exists()


def make_believe_executable(checkout: Checkout) -> None:
    """Let setup call the pretended Python again, as sys.executable."""
    with (checkout.folder / "sitecustomize.py").open("a") as file:
        file.write(f"sys.executable = {str(checkout.python)!r}\n")
