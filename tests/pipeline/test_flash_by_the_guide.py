"""The build guide's step 5 and what follows from it, as somebody at a laptop does it: every line typed, every question answered.

The command runs in a terminal of its own, the board is an emulated chip at the end of a cable (tests/virtual_chip.py), broker and
gateway are real. That the cable's end is found among the computer's USB ports is all that is pretended.
"""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from footfall_gateway.commissioning.chips import ESP32
from footfall_gateway.commissioning.device_files import compiled
from footfall_gateway.commissioning.german import GERMAN, TOLD
from footfall_gateway.commissioning.provisioning import broker_line
from tests.virtual_chip import WRITES, VirtualChip
from tests.virtual_images import image

ROOT = Path(__file__).parents[2]
COMPUTERS = {"en": "en_GB.UTF-8", "de": "de_DE.UTF-8"}


def lines(language):
    """What step 5 of the guide in this language lets people type."""
    guide = (ROOT / f"hardware/build-guide.{language}.md").read_text("utf-8")
    step = guide.split("\n## 5. ")[1].split("\n## 6. ")[0]
    return re.findall(r"^footfall flash .*$", step, re.MULTILINE)


NODE = "ff-3c71bf4a"
PASSWORD = "correct horse battery"
LIMIT_S = 120

COMMAND = """
import sys, time
from types import SimpleNamespace
from mpremote import transport_serial
from serial.tools import list_ports
from footfall_gateway.commissioning import self_test
board = SimpleNamespace(device=sys.argv.pop(1), vid=0x10C4, pid=0xEA60, serial_number="0001", location="1-2")
list_ports.comports = lambda *_: [board]
# mpremote lets a board take breath after every 256 bytes; a pty needs none
transport_serial.time = SimpleNamespace(sleep=lambda _s: time.sleep(0.001), monotonic=time.monotonic)
self_test.WATCH_S, self_test.WAIT_S = 1, int(sys.argv.pop(1))
from footfall_gateway.cli import main
sys.exit(main())
"""
GATEWAY = """
[gateway]
data = "data"
[mqtt]
host = "localhost"
port = {port}
ca_file = "{ca}"
username = "gateway"
password_file = "gateway.password"
[[site]]
id = "lab"
timezone = "Europe/Berlin"
"""


class Terminal:
    """A shell line in a terminal of 80 columns, and somebody who reads and types."""

    def __init__(self, line, folder, says, **environment):
        self._says = says
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec {line}"], cwd=folder, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**{name: value for name, value in os.environ.items() if name not in ("LC_ALL", "LC_MESSAGES")}, "HOME": str(folder), "PATH": f"{folder}/bin:{os.environ['PATH']}",
                 "TERM": "xterm", **environment},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - Ctrl-C comes from it
        )  # fmt: skip
        os.close(slave)
        self._all = b""
        self._read = 0  # characters of `said` that were looked at
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self):
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(self._master, 4096):
                self._all += data

    @property
    def said(self):
        text = self._all.decode("utf-8", "replace").replace("\r\n", "\n")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    def sees(self, words):
        until = time.monotonic() + LIMIT_S
        over = False
        while (found := self.said.find(words, self._read)) < 0:
            assert time.monotonic() < until, f"no {words!r} in:\n{self.said}"
            assert not over, f"ended without {words!r}:\n{self.said}"
            over = not self._listener.is_alive()  # then all that it has said is there
            time.sleep(0.02)
        self._read = found + len(words)

    def types(self, keys):
        os.write(self._master, keys.encode())

    def answers(self, *pairs):
        """(the question in English, the answer) in this order, each question asked."""
        for question, answer in pairs:
            self.sees(self._says(question))
            self.sees(": ")
            self.types(answer + "\n")

    def ends(self):
        code = self._process.wait(LIMIT_S)
        self._listener.join(LIMIT_S)
        os.close(self._master)
        return code, self.said


@pytest.fixture(params=COMPUTERS)
def language(request):
    """Of the laptop, and of the guide."""
    return request.param


@pytest.fixture
def says(language):
    """What the command says for an English sentence."""
    return {"en": lambda sentence: sentence, "de": {**TOLD, **GERMAN}.__getitem__}[language]


@pytest.fixture
def board(tmp_path, micropython):
    """Empty, in reach of the WiFi, no sensor wired yet: pulled up, a pin reads as a broken beam."""
    with VirtualChip(tmp_path / "board", micropython, on_pty=True) as board:
        board.shape("wifi", "up")
        set_beams(board, outer=1, inner=1)
        yield board


@pytest.fixture
def laptop(tmp_path, board, language, says):
    (tmp_path / "Downloads").mkdir()
    (tmp_path / "Downloads/ESP32_GENERIC-20250911-v1.26.1.bin").write_bytes(image())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/footfall.py").write_text(COMMAND)
    script = tmp_path / "bin/footfall"
    script.write_text(
        f'#!/bin/sh\nexec {sys.executable} {tmp_path}/bin/footfall.py "$BOARD" "$WAIT_S" "$@"\n'
    )
    script.chmod(0o755)
    return lambda line, wait_s=10: Terminal(
        line, tmp_path, says, LANG=COMPUTERS[language], BOARD=board.url, WAIT_S=str(wait_s)
    )


BEAMS = {"outer": 32, "inner": 33}


def set_beams(board, **levels):
    for name, level in levels.items():
        board.shape(f"pin{BEAMS[name]}", level)


def wait_for(ready, told):
    until = time.monotonic() + LIMIT_S
    while not ready():
        assert time.monotonic() < until, told()
        time.sleep(0.1)


QUESTIONS = [
    ("door with light barriers, feedback terminal, or both", ""), ("Short name of the site, as in footfall.toml", ""),
    ("Short name of the door", ""), ("Name of this board", ""), ("Two beams, so that in and out can be told apart?", ""),
    ("Light barriers: ready-made, or bare LEDs", ""), ("Is it wired as the build guide says?", ""),
    ("How does it reach the gateway", ""),
]  # fmt: skip
WIFI = [("Name of the WiFi", "town"), ("Its password (nothing for an open network)", PASSWORD)]
ADDRESS = "Address of the broker (the gateway's computer), such as 10.1.2.3"
FILE = "File of the certificate (- for none)"
SERVER = ("Name in the broker's certificate (- if that is the address itself)", "")
BROKER = [("User name at the broker", ""), ("Its password (nothing: a new one is made for this board)", "")]


SEEN = {  # what is put together from several sentences
    "en": [
        "wifi.ssid is", "expected a text of at most 64 characters",
        "mqtt.port is 99999, expected a whole number from 1 to 65535",
        "cannot be read (No such file or directory)", "cannot be read (Is a directory)",
        "is no certificate, neither PEM nor DER", "Nothing was written",
    ],
    "de": [
        "wifi.ssid ist", "erwartet wird ein Text mit höchstens 64 Zeichen",
        "mqtt.port ist 99999, erwartet wird eine ganze Zahl von 1 bis 65535",
        "nicht lesbar (gibt es nicht)", "nicht lesbar (ist ein Ordner)",
        "ist kein Zertifikat, weder PEM noch DER", "Nichts wurde geschrieben",
    ],
}  # fmt: skip


def test_wrong_answers_are_asked_again_and_a_dry_run_writes_nothing(
    laptop, board, ca, tmp_path, language, says
):
    (tmp_path / "Downloads/ca.pem").write_bytes(ca.cert_pem.bytes())
    name_wrong, password_long, port_wrong, none, folder, other, nothing = SEEN[language]
    screen = laptop(lines(language)[0])
    screen.answers((QUESTIONS[0][0], "window"), QUESTIONS[0], (QUESTIONS[1][0], "Stadt Labor"))
    screen.sees(says("small letters, digits and - only, at most 32"))
    screen.answers(*QUESTIONS[1:])
    (name, _), (password, _) = WIFI
    screen.answers((name, ""), (name, "   "), (name, "x" * 33), (password, ""))
    screen.sees(name_wrong)
    screen.answers((name, "town"), (password, "x" * 65))
    screen.sees(password_long)
    screen.answers(*WIFI, (ADDRESS, "10.1.2.3:99999"))
    screen.sees(port_wrong)
    screen.answers((ADDRESS, "10.1.2.3"))
    for file, words in (
        ("~/Downloads/nothing.pem", none),
        ("~/Downloads", folder),
        ("~/bin/footfall.py", other),
    ):
        screen.answers((FILE, file))
        screen.sees(words)
    screen.answers((FILE, "~/Downloads/ca.pem"), SERVER, *BROKER)
    code, said = screen.ends()
    assert code == 0, said
    assert nothing in said
    assert "x" * 65 not in said
    assert untouched(board)


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "the end of input"])
def test_who_gives_up_at_a_question_is_told_that_nothing_was_erased(key, laptop, board, language, says):
    screen = laptop(lines(language)[1])
    screen.answers(*QUESTIONS)
    screen.sees(says("Name of the WiFi") + ": ")
    screen.types(key)
    code, said = screen.ends()
    ended = says("\n[bold]Ended.[/] Nothing was written to the board, and nothing erased.")
    assert ended.split("[/] ")[1] in said
    assert "Traceback" not in said
    assert code == 130
    assert untouched(board)


def untouched(board):
    return not WRITES & set(board.commands) and bytes(board.flash) == b"\xff" * len(board.flash)


SELF_TEST = {  # of the first time, and once everything is connected
    "en": (
        ("✓ flash: written", "✓ wifi: town", "✗ beam 0 outer: broken all the time", "✗ broker: broker refused the password",
         "Put this node's line (below) into mosquitto's password file", "First the broker: this needs it."),
        ("beam 0 outer: free", "beam 0 inner: free", "flash: written", "wifi: town, address",
         f"broker: connected as {NODE}", "time: known"),
    ),
    "de": (
        ("✓ Speicher: geschrieben", "✓ WLAN: town", "✗ Strahl 0 außen: die ganze Zeit unterbrochen", "✗ Broker: der Broker weist ab",
         "Die Zeile dieses Knotens (unten) in die Passwortdatei von mosquitto", "Zuerst in Ordnung bringen: Broker"),
        ("Strahl 0 außen: frei", "Strahl 0 innen: frei", "Speicher: geschrieben", "WLAN: town, Adresse",
         f"Broker: verbunden als {NODE}", "Uhrzeit: bekannt"),
    ),
}  # fmt: skip


def test_who_follows_the_guide_ends_with_a_door_that_counts(
    laptop, board, tmp_path, make_mosquitto, ca, language, says
):
    users = tmp_path / "footfall.passwords"
    users.touch(0o600)
    users.write_text(broker_line("gateway", "secret") + "\n")
    (tmp_path / "gateway.password").write_text("secret")
    broker = make_mosquitto(ca=ca, settings=[f"password_file {users}"])

    # step 5
    screen = laptop(lines(language)[1])
    screen.answers(*QUESTIONS, *WIFI, (ADDRESS, f"127.0.0.1:{broker.port}"))
    screen.answers((FILE, str(broker.ca_file)), SERVER, *BROKER)
    code, said = screen.ends()
    assert_flashed(board, said)
    for line in SELF_TEST[language][0]:
        assert line in said, said
    assert code == 1

    # steps 6 and 9: the sensors are connected, gateway and broker are told what stands there
    set_beams(board, outer=0, inner=0)
    tables = said.split(headline(says("\n[bold]For the gateway's footfall.toml:[/]")))[1].split("\n\n")[0]
    [line] = re.findall(rf"^{NODE}:\$7\$\S+$", said, re.MULTILINE)
    users.write_text(users.read_text() + line + "\n")
    (tmp_path / "footfall.toml").write_text(GATEWAY.format(port=broker.port, ca=broker.ca_file) + tables)
    os.kill(broker.pid, signal.SIGHUP)  # systemctl reload mosquitto
    with gateway(tmp_path) as log:
        told = lambda: broker.log_tail() + log.read_text()  # noqa: E731
        wait_for(lambda: f"as {NODE}" in broker.log_file.read_text(), told)
        code, said = laptop("footfall flash", wait_s=60).ends()  # given again, it looks and tests
        for found in SELF_TEST[language][1]:
            assert f"✓ {found}" in said, said + told()
        assert "✗" not in said
        assert says("  this firmware was on it already (slot {slot})").format(slot="a") in said
        assert headline(says("[bold green]The node counts.[/]")) in said
        assert code == 0, said

        # somebody comes in; the node has to see each change before the next, or it could not tell the direction
        for name, level in (("outer", 1), ("inner", 1), ("outer", 0), ("inner", 0)):
            set_beams(board, **{name: level})
            board.wait_until_seen(BEAMS[name], level)
            time.sleep(0.3)
        wait_for(lambda: passages(tmp_path) == [1], told)


def headline(sentence):
    return re.sub(r"\[[^]]*\]", "", sentence).strip() + "\n"


def assert_flashed(board, said):
    content = image()
    assert board.flash[0x1000 : 0x1000 + len(content)] == content
    assert {
        path.relative_to(board.files / "slots/a").as_posix(): path.read_bytes()
        for path in (board.files / "slots/a").rglob("*.mpy")
    } == {file.path: file.content for file in compiled(ESP32)}
    config = json.loads((board.files / "config.json").read_text())
    assert config["wifi"] == {"ssid": "town", "password": PASSWORD}
    assert PASSWORD not in said
    assert config["mqtt"]["password"] not in said


@contextlib.contextmanager
def gateway(folder):
    """`footfall run` with the settings in the folder; its log."""
    log = folder / "gateway.log"
    argv = [sys.executable, "-m", "footfall_gateway.cli", "run", "--config", "footfall.toml"]
    with log.open("w") as file, subprocess.Popen(argv, cwd=folder, stdout=file, stderr=file) as process:
        try:
            yield log
        finally:
            process.terminate()


def passages(folder):
    """The directions of all passages that the gateway has."""
    with contextlib.closing(sqlite3.connect(f"file:{folder}/data/ledger.sqlite?mode=ro", uri=True)) as ledger:
        return [row[0] for row in ledger.execute("SELECT b FROM record WHERE kind = 'P' ORDER BY seq")]
