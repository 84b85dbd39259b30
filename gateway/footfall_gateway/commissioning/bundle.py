"""A firmware update in one file, `footfall-<version>-<chip>.ffu`: made, read and cut into pieces here, taken by `firmware/node/update.py`.

    {"ffu":1,"version":"0.2.0","chip":"esp32","mpy":6,"micropython":[1,24],"loader":1,"older":false,"files":41,"bytes":81234}
    ["app.mpy",7301,"<SHA-256, 64 hex digits>"]
    …                                               one line for each file
    <signature over the bytes of all lines above, hex>
    the files' bytes, one after the other

Lines end with a single line feed. The signature stands before the files, so that a node knows the head to be genuine, and
with it how long each file must be and what its hash must be, before it takes the first byte of one. What is signed are
the bytes as they lie there: nobody has to write JSON the same way twice.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.device_files import DeviceFile
from footfall_gateway.toml_reader import reason

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = ["FORMAT", "LEAST_LOADER", "Bundle", "file_name", "make_bundle", "read_bundle"]

FORMAT = 1
LEAST_LOADER = (
    1  # the version of main.py on the node that this firmware needs; it is not updated over the air
)
LEAST_MICROPYTHON = (1, 24)
MAX_HEAD_BYTES = 16_384  # as node/update.py has it
MAX_FILES = 200
VERSION_FORM = re.compile(r"\d{1,4}(\.\d{1,4}){1,3}")  # what a node can compare
PATH_FORM = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)?\.(mpy|py)")


@dataclass(frozen=True)
class Bundle:
    """A bundle as it lies in its file. `head_bytes`: up to and with the signature; `id` names this very file."""

    content: bytes
    head_bytes: int
    version: str
    chip: str
    older: bool

    @property
    def id(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def file_name(version: str, chip: str) -> str:
    return f"footfall-{version}-{chip}.ffu"


def make_bundle(
    files: Sequence[DeviceFile],
    version: str,
    chip: str,
    key: "rsa.RSAPrivateKey",
    *,
    older: bool = False,
    least_loader: int = LEAST_LOADER,
) -> Bundle:
    """A signed bundle of these files. `older`: nodes may take it even where they run a newer version."""
    from footfall_gateway.commissioning.signing import sign  # noqa: PLC0415 - cryptography comes with the extra

    if not VERSION_FORM.fullmatch(version):
        raise CommissioningError(
            f"the firmware's version is {version}, and a node compares only versions such as 0.2.0",
            "Change VERSION in firmware/node/__init__.py.",
        )
    if not any(file.path in ("app.mpy", "app.py") for file in files):
        raise CommissioningError("there is no app among the files: no node could start this firmware")
    wrong = [file.path for file in files if not PATH_FORM.fullmatch(file.path)]
    if wrong or len(files) > MAX_FILES:
        raise CommissioningError(f"not files of a firmware: {', '.join(wrong) or f'{len(files)} at once'}")
    compiled = [file.content[1] for file in files if file.path.endswith(".mpy")]
    head = {
        "ffu": FORMAT,
        "version": version,
        "chip": chip,
        "mpy": max(compiled, default=0),
        "micropython": LEAST_MICROPYTHON,
        "loader": least_loader,
        "older": older,
        "files": len(files),
        "bytes": sum(len(file.content) for file in files),
    }
    lines = [_line(head)]
    lines += [_line([file.path, len(file.content), _sha256(file.content)]) for file in files]
    signed = b"".join(lines)
    before = signed + sign(key, signed).hex().encode() + b"\n"
    if len(before) > MAX_HEAD_BYTES:
        raise CommissioningError(f"the head would have {len(before)} bytes, a node takes {MAX_HEAD_BYTES}")
    content = before + b"".join(file.content for file in files)
    return Bundle(content, len(before), version, chip, older)


def read_bundle(path: Path) -> Bundle:
    """The bundle in a file, whole by its own list. Whether it is genuine only the node can tell, which has the key."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommissioningError(f"{path}: cannot be read: {reason(error)}") from None
    try:
        return _parse(content)
    except (ValueError, TypeError, KeyError) as error:
        what = str(error) if isinstance(error, _WrongError) else "not an update bundle"
        raise CommissioningError(
            f"{path}: {what}", "Make it again with `footfall update build`, or copy it again."
        ) from None


class _WrongError(ValueError):
    """Says what is wrong with a file that looks like a bundle."""


def _parse(content: bytes) -> Bundle:
    first, _, rest = content.partition(b"\n")
    head: dict[str, Any] = json.loads(first)
    if head["ffu"] != FORMAT:
        raise _WrongError(f"format {head['ffu']}, and this program knows {FORMAT}: use a newer footfall")
    *rows, signature = rest.split(b"\n", head["files"] + 1)[: head["files"] + 1]
    head_bytes = len(first) + 1 + sum(len(row) + 1 for row in rows) + len(signature) + 1
    int(signature, 16)
    at = head_bytes
    for row in rows:
        path, size, sha256 = json.loads(row)
        if len(content) < at + size:
            raise _WrongError("truncated")
        if _sha256(content[at : at + size]) != sha256:
            raise _WrongError(f"damaged in {path}")
        at += size
    if at != len(content):
        raise _WrongError("longer than its list of files")
    return Bundle(content, head_bytes, head["version"], head["chip"], head["older"])


def _line(values: object) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
