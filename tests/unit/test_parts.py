"""Finding and fetching programs, with pretended apt tools; `contract/test_parts.py` fetches the real ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from footfall_simulator import debian_packages, parts

APT = """#!/bin/sh
echo "$@" >> "$HERE/calls"
case "$*" in
*update) eval "$UPDATE" ;;
*download*) eval "$DOWNLOAD"
    while [ "$1" != download ]; do shift; done; shift
    for package; do echo > "${package}_1_all.deb"; done ;;
esac
"""
# A machine whose own mirror comes in three forms: switched off, for security, and for the release
SOURCES = """Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
# a comment
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb deb-src
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
"""
# Unpacks a loader that, whatever it is to start, tells a version
DPKG = """#!/bin/sh
eval "$UNPACK"
folder="$3/usr/lib/x86_64-linux-gnu"
/bin/mkdir -p "$folder"
printf '#!/bin/sh\\necho v1.25.0\\n' > "$folder/ld-linux-x86-64.so.2"
/bin/chmod +x "$folder/ld-linux-x86-64.so.2"
"""


class Machine:
    """A pretended system: the programs in `bin` are all there are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.parts = folder / "parts"
        self.said: list[str] = []
        self.bin.mkdir()

    def program(self, name: str, script: str) -> Path:
        path = self.bin / name
        path.write_text(script)
        path.chmod(0o755)
        return path

    def with_apt(self) -> None:
        self.program("apt-get", APT)
        self.program("dpkg-deb", DPKG)

    def find(self, name: str = "micropython") -> parts.Part:
        parts._find.cache_clear()
        return parts.find(name, self.said.append)

    @property
    def apt_calls(self) -> list[str]:
        """The apt-get commands that were called, by their name."""
        text = (self.folder / "calls").read_text()
        return [word for word in text.split() if word in {"update", "download"}]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    machine = Machine(tmp_path)
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    monkeypatch.setattr(parts, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(debian_packages, "KEYRINGS", (keyring,))
    monkeypatch.setattr(
        debian_packages, "_os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"}
    )
    monkeypatch.setattr(debian_packages, "APT_FOLDER", tmp_path / "apt")
    (tmp_path / "apt" / "sources.list.d").mkdir(parents=True)
    (tmp_path / "apt" / "sources.list.d" / "debian.sources").write_text(SOURCES)
    monkeypatch.setenv("PATH", str(machine.bin))
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("FOOTFALL_PARTS", str(machine.parts))
    for name in (
        "UPDATE",
        "DOWNLOAD",
        "UNPACK",
        "FOOTFALL_MICROPYTHON",
        "FOOTFALL_MOSQUITTO",
        "FOOTFALL_INFLUXD",
        "FOOTFALL_DEBIAN_MIRROR",
    ):
        monkeypatch.delenv(name, raising=False)
    yield machine
    parts._find.cache_clear()


@pytest.mark.parametrize("version", ["1.24.0", "1.25.0", "1.29.1"])
def test_a_new_enough_program_of_the_system_is_used(machine: Machine, version: str):
    program = machine.program("micropython", f"#!/bin/sh\necho v{version}\n")
    part = machine.find()
    assert (part.version, part.origin) == (version, "of this system")
    assert part.argv("x.py") == [str(program), "x.py"]
    assert machine.said == []


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo v1.19.1", "is version 1.19.1, and 1.24 or newer is needed"),
        ("echo v2.0.0", "is version 2.0.0, and 1.24 or newer is needed"),
        (
            "echo \"ImportError: no module named 'tls'\"; exit 1",
            "does not tell its version (ImportError: no module",
        ),
        ("exit 1", "does not tell its version (no output)"),
    ],
)
def test_an_unsuitable_program_of_the_system_is_passed_over_with_the_reason(machine: Machine, script, reason):
    machine.program("micropython", f"#!/bin/sh\n{script}\n")
    machine.with_apt()
    assert machine.find().origin.startswith("private copy")
    assert reason in machine.said[0]


def test_a_program_named_by_the_environment_comes_first(machine: Machine, monkeypatch):
    machine.program("micropython", "#!/bin/sh\necho v1.25.0\n")
    mine = machine.program("mine", "#!/bin/sh\necho v1.26.0\n")
    monkeypatch.setenv("FOOTFALL_MICROPYTHON", str(mine))
    assert machine.find().argv() == [str(mine)]


@pytest.mark.parametrize("value", ["/nowhere/micropython", "/bin/true"])
def test_an_unusable_program_named_by_the_environment_is_an_error_that_names_both(
    machine: Machine, monkeypatch, value
):
    machine.program("micropython", "#!/bin/sh\necho v1.25.0\n")
    monkeypatch.setenv("FOOTFALL_MICROPYTHON", value)
    with pytest.raises(parts.PartError, match=f"FOOTFALL_MICROPYTHON names {value}"):
        machine.find()


def test_a_missing_program_is_fetched_once_and_then_found(machine: Machine):
    machine.with_apt()
    first = machine.find()
    assert first.version == "1.25.0"
    assert first.argv("-c", "1")[-3:] == [str(machine.parts / "micropython/usr/bin/micropython"), "-c", "1"]
    calls = machine.apt_calls
    said = len(machine.said)
    assert machine.find() == first
    assert machine.apt_calls == calls
    assert len(machine.said) == said


def test_each_step_that_may_take_long_is_announced(machine: Machine):
    machine.with_apt()
    machine.find()
    steps = [
        "fetching a private copy",
        "reading the package list",
        "downloading 6",
        "MicroPython 1.25.0 is ready",
    ]
    for step, line in zip(steps, machine.said, strict=True):
        assert step in line


def test_two_parts_share_one_package_list(machine: Machine):
    machine.with_apt()
    machine.find()
    machine.program("dpkg-deb", DPKG.replace("v1.25.0", "mosquitto version 2.0.21"))
    assert machine.find("mosquitto").version == "2.0.21"
    assert machine.apt_calls == ["update", "download", "download"]


def test_the_systems_own_mirror_is_asked_for_the_newer_release(machine: Machine):
    machine.with_apt()
    machine.find()
    source = (machine.parts / "debian/sources/debian.sources").read_text()
    assert "URIs: http://mirror.example/debian\n" in source
    assert "Suites: trixie\n" in source
    assert f"Signed-By: {machine.folder / 'keyring.gpg'}\n" in source
    assert "trusted" not in source.lower()


def test_a_mirror_without_the_release_is_replaced_by_the_next_one(machine: Machine, monkeypatch):
    machine.with_apt()
    (machine.folder / "apt" / "sources.list").write_text(
        "# old notation\ndeb [arch=amd64] http://second.example/debian bookworm main\n"
        "deb-src http://source.example/debian bookworm main\n"
    )
    monkeypatch.setenv(
        "UPDATE", 'if /bin/grep -q mirror.example sources/debian.sources; then echo "E: 404"; exit 100; fi'
    )
    machine.find()
    asked = [line.split(" from ")[1].split()[0] for line in machine.said if "package list" in line]
    assert asked[-1] == "http://second.example/debian"
    assert set(asked) <= {"http://mirror.example/debian", "http://second.example/debian"}


def test_a_mirror_that_the_user_names_is_asked_first(machine: Machine, monkeypatch):
    machine.with_apt()
    monkeypatch.setenv("FOOTFALL_DEBIAN_MIRROR", "http://named.example/debian/")
    machine.find()
    assert (
        "URIs: http://named.example/debian\n" in (machine.parts / "debian/sources/debian.sources").read_text()
    )


def test_without_any_mirror_the_user_is_told_to_name_one(machine: Machine):
    machine.with_apt()
    (machine.folder / "apt" / "sources.list.d" / "debian.sources").unlink()
    with pytest.raises(parts.PartError, match="FOOTFALL_DEBIAN_MIRROR=http://"):
        machine.find()


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        (
            "UPDATE",
            'echo "Err:1 x"; echo "E: Could not resolve"; exit 100',
            "http://mirror.example/debian: Could not resolve",
        ),
        ("DOWNLOAD", 'echo "E: Unable to locate package"; exit 100', "Unable to locate package"),
        ("UNPACK", 'echo "dpkg-deb: error: not a Debian archive"; exit 2', "not a Debian archive"),
    ],
)
def test_a_failing_step_is_one_sentence_with_the_tools_own_words(
    machine: Machine, monkeypatch, variable, value, reason
):
    machine.with_apt()
    monkeypatch.setenv(variable, value)
    with pytest.raises(parts.PartError) as failed:
        machine.find()
    text = str(failed.value)
    assert "\n" not in text
    assert text.startswith("MicroPython: it is not installed, and the Debian package cannot be fetched: ")
    assert reason in text
    assert "apt install micropython" in text
    assert "FOOTFALL_MICROPYTHON" in text
    assert not (machine.parts / "micropython").exists()
    assert not (machine.parts / "micropython.unfinished").exists()


def test_a_failed_fetch_is_made_up_for_by_the_next(machine: Machine, monkeypatch):
    machine.with_apt()
    monkeypatch.setenv("UNPACK", "exit 2")
    with pytest.raises(parts.PartError):
        machine.find()
    monkeypatch.delenv("UNPACK")
    assert machine.find().version == "1.25.0"


def test_a_package_that_the_mirror_has_replaced_is_found_through_a_new_list(machine: Machine, monkeypatch):
    machine.with_apt()
    machine.find()
    (machine.parts / "micropython/part.json").unlink()
    once = machine.folder / "once"
    once.touch()
    monkeypatch.setenv("DOWNLOAD", f"if /bin/rm {once} 2>/dev/null; then echo 'E: 404'; exit 100; fi")
    assert machine.find().version == "1.25.0"
    assert machine.apt_calls[-3:] == ["download", "update", "download"]


@pytest.mark.parametrize("missing", ["apt-get", "dpkg-deb"])
def test_a_system_without_debians_tools_is_told_what_is_missing(machine: Machine, missing):
    machine.with_apt()
    (machine.bin / missing).unlink()
    with pytest.raises(parts.PartError, match=f"{missing} is not on this system"):
        machine.find()


def test_without_the_keyring_nothing_is_fetched(machine: Machine):
    machine.with_apt()
    (machine.folder / "keyring.gpg").unlink()
    with pytest.raises(parts.PartError, match=r"keyring\.gpg is missing"):
        machine.find()
    assert not (machine.folder / "calls").exists()


def test_a_parts_folder_that_cannot_be_made_is_named(machine: Machine):
    machine.with_apt()
    machine.parts.write_text("a file in the way")
    with pytest.raises(parts.PartError, match=f"{machine.parts} cannot hold a private copy"):
        machine.find()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": "1", "suite": "sid", "packages": []}'])
def test_a_copy_that_is_broken_or_of_another_recipe_is_fetched_anew(machine: Machine, content):
    machine.with_apt()
    machine.find()
    (machine.parts / "micropython/part.json").write_text(content)
    assert machine.find().version == "1.25.0"
    assert machine.apt_calls.count("download") == 2


def test_two_processes_at_once_fetch_once(machine: Machine, monkeypatch):
    machine.with_apt()
    monkeypatch.setenv("DOWNLOAD", "/bin/sleep 0.5")
    code = (
        "from pathlib import Path; from footfall_simulator import debian_packages, parts;"
        "parts.SYSTEM_FOLDERS = (); debian_packages.KEYRINGS = (Path('/dev/null'),);"
        "print(parts.find('micropython').version)"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=os.environ, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert answers == ["1.25.0"] * 3
    assert machine.apt_calls.count("download") == 1


def test_the_command_line_prints_versions_and_refuses_unknown_names(machine: Machine, capsys):
    machine.program("micropython", "#!/bin/sh\necho v1.26.0\n")
    parts._find.cache_clear()
    assert parts.main(["micropython"]) == 0
    assert capsys.readouterr().out == "MicroPython 1.26.0, of this system\n"
    with pytest.raises(SystemExit) as refused:
        parts.main(["grafana"])
    assert refused.value.code == 2
    assert "unknown part 'grafana': the parts are micropython, mosquitto, influxdb" in capsys.readouterr().err


def test_the_command_line_ends_with_one_line_when_a_part_is_not_to_be_had(machine: Machine, capsys):
    parts._find.cache_clear()
    assert parts.main(["mosquitto"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith("mosquitto: it is not installed")
    assert "Traceback" not in said.err
