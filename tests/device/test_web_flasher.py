"""The browser flasher: its page and manifests, its images on the real littlefs, and its commands on the firmware's own console.

The page's JavaScript runs in QuickJS here; what only a browser has (the serial port, esp-web-tools) was tried by hand.
"""

import io
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import serial

from footfall_gateway.commissioning import CommissioningError, web_flasher
from footfall_gateway.commissioning.chips import CHIPS, ESP32, ESP32S3
from footfall_gateway.commissioning.device_files import compiled
from footfall_gateway.commissioning.littlefs_image import BLOCK_BYTES, files_in, image_of
from footfall_gateway.link_serial import decode_line
from footfall_simulator import parts
from footfall_simulator.timeline import Timeline
from footfall_simulator.virtual_board import VirtualBoard
from tests.virtual_images import image

PAGE = Path(web_flasher.__file__).with_name("web")
FILES_AT = 0x200000
WAIT_S = 60


def packed(*names: str) -> bytes:
    """What npm would pack."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"code"))
    return data.getvalue()


PACKAGE = packed(
    "package/dist/web/install-button.js", "package/dist/web/esp32-x.js", "package/LICENSE", "package/src/x.ts"
)


@pytest.fixture
def micropython_files(tmp_path: Path) -> Path:
    folder = tmp_path / "micropython"
    folder.mkdir()
    for chip in (ESP32, ESP32S3):
        (folder / f"{chip.board}-20250911-v1.26.1.bin").write_bytes(image(chip))
    return folder


@pytest.fixture
def site(tmp_path: Path, micropython_files: Path) -> Path:
    web_flasher.build(tmp_path / "site", micropython_files, PACKAGE, lambda _: None)
    return tmp_path / "site"


def test_manifests_name_files_that_are_there_at_the_places_of_each_chip(site: Path):
    for size in web_flasher.FLASH_MB:
        manifest = json.loads((site / f"manifest-{size}mb.json").read_text())
        assert [build["chipFamily"] for build in manifest["builds"]] == ["ESP32", "ESP32-S3"]
        for build, chip in zip(manifest["builds"], (ESP32, ESP32S3), strict=True):
            system, files = build["parts"]
            assert (system["offset"], files["offset"]) == (chip.bootloader_offset, FILES_AT)
            assert (site / system["path"]).read_bytes() == image(chip)
            assert (site / files["path"]).stat().st_size % BLOCK_BYTES == 0


def test_the_way_without_files_writes_nothing_where_counts_are_and_no_way_erases_unasked(site: Path):
    manifest = json.loads((site / "manifest-micropython.json").read_text())
    for build in manifest["builds"]:
        (part,) = build["parts"]
        assert part["offset"] + (site / part["path"]).stat().st_size <= FILES_AT
    for path in site.glob("manifest-*.json"):
        # esp-web-tools erases the whole flash at a first installation unless it is told to ask
        assert json.loads(path.read_text())["new_install_prompt_erase"] is True


def test_the_page_needs_nothing_from_elsewhere_and_has_every_file_that_it_names(site: Path):
    text = (site / "index.html").read_text()
    named = re.findall(r'(?:src|href|manifest)="([^"#]+)"', text)
    assert len(named) >= 5
    for target in named:
        assert target == "data:," or (site / target).is_file(), target
    assert not re.search(
        r"https?://[a-z]", text + (site / "page.js").read_text() + (site / "style.css").read_text()
    )
    assert "@VERSION@" not in text
    assert not (site / "esp-web-tools" / "x.ts").exists()


def test_everything_is_said_in_german_and_in_english():
    text = (PAGE / "index.html").read_text()
    body = text[text.index("<body>") :]
    assert len(re.findall(r'lang="de"', body)) == len(re.findall(r'lang="en"', body)) > 15
    for warning in ("gehen verloren", "are lost", "nicht ankreuzen", "unticked"):
        assert warning in body
    script = (PAGE / "page.js").read_text()
    english, german = script.split("  de: {")
    german = german.split("\n};")[0]
    keys = r"^ +(\w+):"
    assert re.findall(keys, english.split("  en: {")[1], re.MULTILINE) == re.findall(
        keys, german, re.MULTILINE
    )


@pytest.mark.parametrize("size_mb", web_flasher.FLASH_MB)
def test_an_image_boots_the_firmware_on_the_real_littlefs(
    micropython: parts.Micropython, tmp_path: Path, site: Path, size_mb: int
):
    blocks = (size_mb * 1024 * 1024 - FILES_AT) // BLOCK_BYTES
    flash = tmp_path / "flash.img"
    shutil.copy(site / f"esp32/files-{size_mb}mb.bin", flash)
    with flash.open("ab") as rest:  # behind the image there may be anything
        rest.write(b"\x55" * (blocks * BLOCK_BYTES - flash.stat().st_size))
    with VirtualBoard(
        "ff-new", tmp_path / "f", micropython, None, Timeline(), flash_image=flash, flash_blocks=blocks
    ) as board:
        board.set_pins({32: 0, 33: 0})
        board.start()
        board.wait_for_console(r"footfall [\d.]+: node ff-\w+, boot 1 ")
        board.kill()
        assert not board.tracebacks
    names = files_in(flash.read_bytes(), blocks)
    assert {"main.py", "slots/a/app.mpy", "boot.json", "start.json"} <= names.keys()


def test_an_image_for_another_size_of_flash_is_not_mounted(run_on_board, flash: Path):
    """So the page asks for the size: MicroPython would make an empty file system of it."""
    (flash / "chip.img").write_bytes(image_of(web_flasher.node_files(compiled(ESP32)), 512))
    code = """
import flash_chip, sys, vfs
try:
    vfs.VfsLfs2(flash_chip.FlashChip("chip.img", int(sys.argv[1])))
    show("mounted")
except OSError as error:
    show(error.args[0])
"""
    assert run_on_board(code, 512) == "mounted"
    assert run_on_board(code, 1536) == 22  # EINVAL


@pytest.fixture
def run_script(tmp_path: Path):
    """Run JavaScript with the page's node_console.js; what it prints as JSON."""
    try:
        engine = parts.find("quickjs")
    except parts.PartError as error:
        pytest.fail(str(error), pytrace=False)
    shutil.copy(PAGE / "node_console.js", tmp_path)

    def run(code: str) -> object:
        script = tmp_path / "script.js"
        script.write_text('import * as node from "./node_console.js";\n' + code)
        done = subprocess.run(
            engine.argv("--module", str(script)), capture_output=True, text=True, timeout=WAIT_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


FORM = {"ssid": "Café 🚪", "wifiPassword": "correct horse", "host": "10.1.2.3", "port": "1884", "user": "ff-new", "password": "its own"}  # fmt: skip


def test_the_page_s_lines_are_those_of_the_cable(run_script):
    made = run_script(
        f"console.log(JSON.stringify(node.line('command', node.connectCommand({json.dumps(FORM)}, 'page'))))"
    )
    assert isinstance(made, str)
    assert made.endswith("\n")
    decoded = decode_line(made.rstrip("\n").encode())
    assert decoded is not None
    leaf, payload = decoded
    assert leaf == "command"
    assert json.loads(payload) == {
        "v": 1, "do": "connect", "id": "page",
        "wifi": {"ssid": "Café 🚪", "password": "correct horse"},
        "mqtt": {"host": "10.1.2.3", "port": 1884, "user": "ff-new", "password": "its own"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [("ssid", " "), ("ssid", "ü" * 17), ("wifiPassword", "short"), ("host", "10.1.2.3/x"), ("port", "70000"), ("port", "x")],
)  # fmt: skip
def test_a_field_that_cannot_be_right_is_named(run_script, field, value):
    form = json.dumps({**FORM, field: value})
    code = f"try {{ node.connectCommand({form}, 'page'); console.log(0) }} catch (e) {{ console.log(JSON.stringify(e.field)) }}"
    assert run_script(code) == field


def test_damaged_lines_and_what_is_printed_for_people_are_no_messages(run_script):
    code = """
const good = node.line("reply", {do: "info", id: "page"}).trimEnd();
const lines = new node.Lines();
const cut = [...lines.feed("boot\\nfootfall 0.1"), ...lines.feed(".0\\r\\n" + good.slice(0, 9)), ...lines.feed(good.slice(9) + "\\n")];
console.log(JSON.stringify([cut.length, cut.map(node.message), node.message(good + "\\r"), node.message(good.replace("info", "inf0"))]));
"""
    whole = ["reply", {"do": "info", "id": "page"}]
    assert run_script(code) == [3, [None, None, whole], whole, None]


def test_a_new_board_takes_the_page_s_connection_over_the_cable(
    micropython: parts.Micropython, tmp_path: Path, site: Path, run_script
):
    made = run_script(
        f"console.log(JSON.stringify([node.line('command', {{v: 1, do: 'info', id: 'page'}}),"
        f" node.line('command', node.connectCommand({json.dumps(FORM)}, 'page'))]))"
    )
    assert isinstance(made, list)
    flash = tmp_path / "flash.img"
    shutil.copy(site / "esp32/files-4mb.bin", flash)
    cable = tmp_path / "cable"
    with VirtualBoard(
        "ff-new", tmp_path / "f", micropython, None, Timeline(), flash_image=flash, cable=cable
    ) as board:
        board.set_pins({32: 0, 33: 0})
        board.start()
        board.wait_for_console("footfall ")
        with serial.Serial(str(cable), timeout=WAIT_S) as port:
            heard = []
            for line in made:
                port.write(("\n" + line).encode())
                while not heard or not heard[-1].startswith("reply "):
                    heard.append(port.readline().decode())
                    assert heard[-1], heard
                heard.append("")
        replies = [line.rstrip("\n") for line in heard if line.startswith("reply ")]
        answers = run_script(f"console.log(JSON.stringify({json.dumps(replies)}.map(node.message)))")
        assert isinstance(answers, list)
        (_, info), (_, connect) = answers
        assert info["node"].startswith("ff-")
        assert connect["ok"] is True
        board.wait_for_console("new connection: on trial")
        board.kill()
    kept = json.loads(files_in(flash.read_bytes().ljust(512 * BLOCK_BYTES, b"\xff"), 512)["connect.json"])
    assert kept["wifi"]["ssid"] == FORM["ssid"]
    assert kept["mqtt"]["host"] == FORM["host"]


def test_without_micropython_or_npm_the_command_says_what_to_do(
    tmp_path: Path, capsys, mocker, micropython_files: Path
):
    out = str(tmp_path / "out")
    assert web_flasher.main([out]) == 1
    assert "MICROPYTHON=" in capsys.readouterr().err
    assert web_flasher.main([out, str(tmp_path / "nowhere")]) == 1
    assert "there is no such file or folder" in capsys.readouterr().err
    mocker.patch("shutil.which", return_value=None)
    assert web_flasher.main([out, str(micropython_files)]) == 1
    assert "npm is not installed" in (said := capsys.readouterr().err)
    assert "--esp-web-tools" in said
    wrong = tmp_path / "wrong.tgz"
    wrong.write_bytes(PACKAGE)
    assert web_flasher.main([out, str(micropython_files), "--esp-web-tools", str(wrong)]) == 1
    assert "SHA-512" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_firmware_that_does_not_fit_is_refused():
    with pytest.raises(CommissioningError, match="does not fit"):
        image_of(web_flasher.node_files(compiled(CHIPS[2])), 40)
