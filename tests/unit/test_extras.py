"""What is missing is installed from where Footfall itself came, never from a registry that may know another Footfall."""

import json
import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from footfall_gateway import extras
from footfall_gateway.extras import how_to_install


@pytest.fixture
def came_from(mocker):
    """How Footfall was installed: pip's own note of it (PEP 610), and whether pip stands beside it."""

    def came_from(note: dict | None, *, pip: bool = True) -> None:
        text = None if note is None else json.dumps(note)
        mocker.patch.object(
            extras.importlib.metadata, "distribution", return_value=SimpleNamespace(read_text=lambda _: text)
        )
        mocker.patch.object(extras.importlib.util, "find_spec", return_value=object() if pip else None)

    return came_from


@pytest.mark.parametrize(
    ("note", "pip", "words"),
    [
        ({"url": "file:///opt/f%20f", "dir_info": {}}, True, "{} -m pip install '/opt/f f[flash]'"),
        (
            {"url": "file:///src", "dir_info": {"editable": True}},
            False,
            "python3 -m pip --python {} install -e '/src[flash]'",
        ),
        (None, True, "{} -m pip install '/path/to/this/repository[flash]'"),
        ({"url": "https://example.org/f.whl"}, True, "{} -m pip install '/path/to/this/repository[flash]'"),
    ],
)
def test_the_command_names_the_folder_that_footfall_came_from(came_from, note, pip, words):
    came_from(note, pip=pip)
    assert how_to_install("flash") == words.format(sys.executable)


def test_without_any_installation_the_documents_words_stand_in(mocker):
    mocker.patch.object(extras.importlib.metadata, "distribution", side_effect=PackageNotFoundError)
    assert how_to_install("parquet").endswith(" install '/path/to/this/repository[parquet]'")
