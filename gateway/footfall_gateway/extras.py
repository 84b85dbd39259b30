"""Libraries that only some commands need, and the command that installs them: they come with an extra of pyproject.toml."""

import importlib.metadata
import importlib.util
import json
import shlex
import sys
import urllib.parse
import urllib.request

__all__ = ["how_to_install"]

SOMEWHERE = "/path/to/this/repository"  # as the documents write it


def how_to_install(extra: str) -> str:
    """The command that adds the extra to this very installation, from where it came: no package registry has Footfall."""
    try:
        told = importlib.metadata.distribution("footfall").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        told = None
    origin = json.loads(told or "{}")
    address = urllib.parse.urlsplit(origin.get("url", ""))
    folder = urllib.request.url2pathname(address.path) if address.scheme == "file" else SOMEWHERE
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    python = shlex.quote(sys.executable)
    has_pip = importlib.util.find_spec("pip") is not None  # the .venv of `make` has none of its own
    pip = f"{python} -m pip" if has_pip else f"python3 -m pip --python {python}"
    return f"{pip} install {editable}{shlex.quote(f'{folder}[{extra}]')}"
