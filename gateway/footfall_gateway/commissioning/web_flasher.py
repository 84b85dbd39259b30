"""A page from which a board is set up in Chrome or Edge, without any tool installed: `make web-flasher MICROPYTHON=FILE_OR_FOLDER`.

    python -m footfall_gateway.commissioning.web_flasher OUT FILE_OR_FOLDER [--esp-web-tools FILE.tgz]

OUT gets the page (web/), for each chip the MicroPython that was found and images of the board's files, the manifests that
esp-web-tools reads, and esp-web-tools itself, which comes from npm while building, never while the page is used. OUT is then
served by any web server, over https or at localhost.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.chips import CHIPS
from footfall_gateway.commissioning.device_files import DeviceFile, compiled, firmware_version, loader
from footfall_gateway.commissioning.images import download_hint, find_image, read_image
from footfall_gateway.commissioning.littlefs_image import BLOCK_BYTES, image_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from footfall_gateway.commissioning.images import Image

__all__ = ["FLASH_MB", "build", "main", "node_files"]

FLASH_MB = (4, 8, 16)  # of the boards that are sold; MicroPython's file system fills what the flash has
ESP_WEB_TOOLS = "10.4.0"
# npm's own hash of that version, so that a build today and one in a year write the same
ESP_WEB_TOOLS_SHA512 = (
    "3pwkeFFm5Fj7UQo8SJNYK5RXrtNCpq6X9QoI6bMT4GBZWgrJqjn0YvM9ihG74BtMoSFYXfmDtkehuxe50PTMPQ=="
)
_WEB = "package/dist/web/"
_PAGE = Path(__file__).with_name("web")
_LIMIT_S = 120


def node_files(chip_files: Sequence[DeviceFile]) -> list[DeviceFile]:
    """What is in the flash of a new node: the loader, the firmware in slot a. Settings come later, over the cable."""
    return [loader(), *(DeviceFile(f"slots/a/{file.path}", file.content) for file in chip_files)]


def build(out: Path, micropython: Path, package: bytes, say: Callable[[str], None]) -> None:
    """Write the page with everything it needs to `out`. `package`: esp-web-tools as npm packs it. CommissioningError."""
    images = _images(micropython)
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    _unpack(package, unfinished / "esp-web-tools")
    for file in _PAGE.iterdir():
        if file.suffix in {".js", ".css"}:
            shutil.copy(file, unfinished)
    page = (_PAGE / "index.html").read_text("utf-8")
    page = page.replace("@VERSION@", firmware_version()).replace("@ESP_WEB_TOOLS@", ESP_WEB_TOOLS)
    (unfinished / "index.html").write_text(page, "utf-8")
    with_files: dict[int, list[dict[str, object]]] = {size: [] for size in FLASH_MB}
    without: list[dict[str, object]] = []
    for image in images:
        folder = unfinished / image.chip.name
        folder.mkdir()
        (folder / "micropython.bin").write_bytes(image.content)
        system = {"path": f"{image.chip.name}/micropython.bin", "offset": image.chip.bootloader_offset}
        without.append({"chipFamily": image.chip.title, "parts": [system]})
        files = node_files(compiled(image.chip))
        for size in FLASH_MB:
            blocks = (size * 1024 * 1024 - image.files_at) // BLOCK_BYTES
            name = f"files-{size}mb.bin"
            (folder / name).write_bytes(image_of(files, blocks))
            part = {"path": f"{image.chip.name}/{name}", "offset": image.files_at}
            with_files[size].append({"chipFamily": image.chip.title, "parts": [system, part]})
        say(f"{image.chip.title}: {image.title}, files at {image.files_at:#x}")
    for size, builds in with_files.items():
        _write_manifest(unfinished / f"manifest-{size}mb.json", "Footfall", builds)
    _write_manifest(unfinished / "manifest-micropython.json", "MicroPython", without)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)


def _images(micropython: Path) -> list[Image]:
    """The image for each chip that there is one for."""
    if not micropython.is_dir():
        if not micropython.exists():
            raise CommissioningError(
                f"{micropython}: there is no such file or folder", *download_hint(CHIPS[0])
            )
        return [read_image(micropython)]
    found, refused = [], None
    for chip in CHIPS:
        try:
            found.append(find_image(micropython, chip))
        except CommissioningError as error:
            refused = refused or error
    if not found and refused is not None:
        raise refused
    return found


def _write_manifest(path: Path, name: str, builds: Sequence[dict[str, object]]) -> None:
    manifest = {
        "name": name,
        "version": firmware_version(),
        # without this esp-web-tools erases the whole flash, waiting counts included, and does not ask
        "new_install_prompt_erase": True,
        "new_install_improv_wait_time": 0,  # the node does not speak Improv
        "builds": builds,
    }
    path.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")


def fetch_esp_web_tools(say: Callable[[str], None]) -> bytes:
    """esp-web-tools from npm."""
    npm = shutil.which("npm")
    if npm is None:
        raise CommissioningError(
            "npm is not installed, which fetches esp-web-tools, the part that writes from the browser",
            "Install it (as root: apt install npm), or fetch the file elsewhere with `npm pack "
            f"esp-web-tools@{ESP_WEB_TOOLS}` and name it: --esp-web-tools FILE.tgz",
        )
    say(f"fetching esp-web-tools {ESP_WEB_TOOLS} with npm")
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [npm, "pack", "--silent", f"esp-web-tools@{ESP_WEB_TOOLS}", "--pack-destination", folder],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CommissioningError(f"npm did not answer within {_LIMIT_S} s. Is there a network?") from None
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or not packed:
            said = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
            raise CommissioningError(f"npm could not fetch esp-web-tools {ESP_WEB_TOOLS}: {said}")
        return packed[0].read_bytes()


def check_package(package: bytes) -> None:
    """CommissioningError unless these are the bytes of the version that this page was made for."""
    if base64.b64encode(hashlib.sha512(package).digest()).decode() != ESP_WEB_TOOLS_SHA512:
        raise CommissioningError(
            f"this is not esp-web-tools {ESP_WEB_TOOLS} as npm has it (its SHA-512 is another); nothing was built"
        )


def _unpack(package: bytes, into: Path) -> None:
    into.mkdir()
    try:
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                wanted = member.isfile() and (member.name.startswith(_WEB) or name.name == "LICENSE")
                data = archive.extractfile(member) if wanted else None
                if data is not None:
                    (into / name.name).write_bytes(data.read())
    except tarfile.TarError as error:
        raise CommissioningError(f"esp-web-tools: the package cannot be unpacked ({error})") from None
    if not (into / "install-button.js").is_file():
        raise CommissioningError(f"esp-web-tools: the package has no {_WEB}install-button.js")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m footfall_gateway.commissioning.web_flasher",
        description="Build the page that sets up boards from a browser.",
    )
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("micropython", type=Path, nargs="?", metavar="FILE_OR_FOLDER")
    parser.add_argument("--esp-web-tools", type=Path, metavar="FILE.tgz")
    chosen = parser.parse_args(arguments)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    try:
        if chosen.micropython is None:
            raise CommissioningError(  # noqa: TRY301 - shown as all others are
                "which MicroPython? make web-flasher MICROPYTHON=FILE_OR_FOLDER", *download_hint(CHIPS[0])
            )
        _images(chosen.micropython)  # before anything is fetched
        package = chosen.esp_web_tools.read_bytes() if chosen.esp_web_tools else fetch_esp_web_tools(say)
        check_package(package)
        build(chosen.out, chosen.micropython, package, say)
    except CommissioningError as error:
        sys.stderr.write("\n".join(error.lines) + "\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    say(
        f"{chosen.out} is ready. To try it: python3 -m http.server --bind 127.0.0.1 --directory {chosen.out} 8000"
    )
    say("then http://localhost:8000 in Chrome or Edge. For others: any web server with https.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
