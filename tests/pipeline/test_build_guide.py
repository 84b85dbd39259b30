"""The build guide followed to its end: what it lets people type at the gateway, against a node at a virtual door."""

import importlib.util
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "hardware/build-guide.en.md").read_text("utf-8")
LIMIT_S = 120
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """A folder with footfall.toml, a gateway and a node that it knows; twelve people have come and nine gone."""
    spec = importlib.util.spec_from_file_location(
        "build_guide_pictures", ROOT / ".ci/build_guide_pictures.py"
    )
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    folder = tmp_path_factory.mktemp("door")
    with pictures.door(folder) as node:
        node.walk(12, every_ms=500)
        node.walk(9, every_ms=500, inward=False)
        node.board.wait_for_edges()
        yield folder


def commands() -> list[str]:
    """The lines to type from step 9 on that are ours; `accept` asks people, tests/device/test_accept.py answers it."""
    part = GUIDE[GUIDE.index("\n## 9. ") :]
    lines = [line for body in re.findall(r"```sh\n(.*?)```", part, re.DOTALL) for line in body.splitlines()]
    return [line for line in lines if line.startswith("footfall ") and not line.startswith("footfall accept")]


# what the guide says that people see, by the command's first words
SEEN = {
    "config check": "footfall.toml",
    "status": "online",
    "node align": "free     0/s",
}


def test_the_guide_names_these_commands():
    assert [one for line in commands() for one in SEEN if line.startswith(f"footfall {one}")] == list(SEEN)


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_guide_shows_what_the_guide_says(door, line):
    words = shlex.split(line)[1:]
    if words[:2] == ["node", "align"]:
        words += ["--seconds", "3"]  # a person ends it with Ctrl-C
    [seen] = [SEEN[one] for one in SEEN if line.startswith(f"footfall {one}")]
    until = time.monotonic() + LIMIT_S  # a quarter of a minute may pass until the gateway has counted
    while True:
        done = subprocess.run(
            [sys.executable, "-m", "footfall_gateway.cli", *words],
            cwd=door,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode == 0 and seen in done.stdout:
            return
        assert time.monotonic() < until, done.stdout + done.stderr
        time.sleep(1)
