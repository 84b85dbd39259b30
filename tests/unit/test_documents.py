"""The documents say what is so: links lead somewhere, commands exist and run, lists are complete, examples are accepted."""

import ast
import json
import os
import queue
import re
import shlex
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import paho.mqtt.client as paho
import pytest
from click.testing import CliRunner
from paho.mqtt.enums import CallbackAPIVersion

from footfall_core import payload, record, topic
from footfall_gateway import ingest, node_messages
from footfall_gateway.accounts import Accounts
from footfall_gateway.cli import cli
from footfall_gateway.ingest import BadRecord, read_batch
from footfall_gateway.ledger import Ledger
from footfall_gateway.link_serial import decode_line
from footfall_gateway.service import ledger_path
from footfall_gateway.settings import Document, SettingsError, load_settings, places_of
from footfall_simulator.scenario import built_in
from tests.servers import Mosquitto

ROOT = Path(__file__).parents[2]
OURS = ("*.md", "docs/*.md", "firmware/*.md", "hardware/*.md", "dashboards/*.md", "simulator/**/*.md")
DOCUMENTS = sorted(path for pattern in OURS for path in ROOT.glob(pattern))
README = ROOT / "README.md"
WIRE = ROOT / "docs/wire.md"
GATEWAY = ROOT / "docs/gateway.md"

LIMIT_S = 60
HOUR_MS = 3_600_000

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """A document without its blocks of code."""
    return FENCE.sub("", text)


def blocks(path: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(path.read_text()) if kind == language]


def section(path: Path, heading: str) -> str:
    """What stands below a heading, until the next one of the same or a higher level."""
    found = re.search(
        rf"^(#+) {re.escape(heading)}.*?\n(.*?)(?=^#{{1,6}} |\Z)", path.read_text(), re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"{name_of(path)} has no heading {heading!r}"
    return found[2]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without headings and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = [i for i, row in enumerate(cells) if all(set(cell) <= set("-: ") for cell in row)]
    return [row for i, row in enumerate(cells) if i not in rules and i + 1 not in rules]


def first_names(text: str) -> list[str]:
    """What stands in backticks in the first column."""
    return [found for row in rows(text) for found in INLINE.findall(row[0])]


def assigned(path: str, name: str) -> Any:
    """A module-level display of a device file that CPython cannot import: its keys, or its elements."""
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            if isinstance(node.value, ast.Dict):
                return [ast.literal_eval(key) for key in node.value.keys if key is not None]
            return [
                one.value
                for one in ast.walk(node.value)
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            ]
    pytest.fail(f"{path} has no {name}")


# ------------------------------------------------------------------------------------------------------------- links


def anchor(heading: str) -> str:
    """The name that a heading gets on the project's web page."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
    return kept.strip().replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {anchor(line) for line in re.findall(r"^#+ (.+)$", prose(path.read_text()), re.MULTILINE)}


def links() -> Iterator[Any]:
    for document in DOCUMENTS:
        text = INLINE.sub("", prose(document.read_text()))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"\w+:", target):
                yield pytest.param(document, target, id=f"{name_of(document)}-{target}")


@pytest.mark.parametrize(("document", "target"), list(links()))
def test_a_link_between_documents_leads_somewhere(document, target):
    file, _, part = target.partition("#")
    there = document.parent / file if file else document
    assert there.exists()
    if part:
        assert part in anchors(there), f"{name_of(there)} has {sorted(anchors(there))}"


def test_every_document_can_be_found_from_the_readme():
    seen, todo = set(), [README]
    while todo:
        document = todo.pop().resolve()
        if document in seen or document.suffix != ".md":
            continue
        seen.add(document)
        targets = re.findall(r"\]\(([^)\s#]+)", document.read_text())
        todo += [document.parent / target for target in targets if not re.match(r"\w+:", target)]
    assert {path for path in DOCUMENTS if path.parent != ROOT / "firmware"} <= seen


def test_paths_that_are_named_are_there():
    missing = [
        f"{name_of(document)}: {path}"
        for document in DOCUMENTS
        for path in INLINE.findall(prose(document.read_text()))
        if re.fullmatch(r"(firmware|gateway|simulator|tests|hardware|dashboards|docs|\.ci)/[\w./-]+", path)
        and not (ROOT / path).exists()
        and not path.startswith(("dashboards/compose/secrets", "dashboards/compose/.env"))
    ]
    assert missing == []


# ---------------------------------------------------------------------------------------------------------- commands


def shell_lines(text: str) -> Iterator[str]:
    """What a document shows as to be typed: lines of shell blocks and indented blocks, and code within a sentence."""
    for kind, body in FENCE.findall(text):
        if kind in ("sh", "ini"):
            yield from body.splitlines()
    rest = prose(text)
    for block in INDENTED.findall(rest):
        yield from block.splitlines()
    yield from INLINE.findall(INDENTED.sub("", rest))


def footfall_commands() -> list[tuple[str, str]]:
    found = []
    for document in DOCUMENTS:
        for line in shell_lines(document.read_text()):
            typed = re.search(r"(?:^|[\s/=])footfall ((?:[a-z]+\b|--\w).*)$", line.strip())
            if typed is not None and "/etc/mosquitto" not in line and "adduser" not in line:
                found.append((name_of(document), typed[1].split("   ")[0].strip()))
    return sorted(set(found))


def command_at(words: list[str]) -> tuple[click.Command, list[str], list[str]]:
    """The command that these words call: the command, its name's words, what is left."""
    one: click.Command = cli
    path: list[str] = []
    while isinstance(one, click.Group) and words and not words[0].startswith("-"):
        below = one.get_command(click.Context(one), words[0])
        assert below is not None, f"there is no command footfall {' '.join([*path, words[0]])}"
        path.append(words[0])
        one, words = below, words[1:]
    return one, path, words


@pytest.mark.parametrize(("document", "typed"), footfall_commands())
def test_a_command_in_a_document_exists_with_these_options(document, typed):
    words = [word for word in shlex.split(typed) if word not in ("…", "...", "[…]")]
    command, path, rest = command_at(words)
    if command.context_settings.get("ignore_unknown_options"):  # it reads its own options
        explained = CliRunner().invoke(cli, [*path, "--help"]).output
        for word in rest:
            assert not word.startswith("-") or word in re.findall(r"--[\w-]+", explained)
        return
    context = click.Context(command, info_name=" ".join(path))
    values, _, _ = command.make_parser(context).parse_args(list(rest))
    assert not (isinstance(command, click.Group) and rest and rest[0] not in ("--help", "--version"))
    if "scenario" in values and values["scenario"] and not values["scenario"].isupper():
        assert values["scenario"] in built_in()


def all_commands(group: click.Group = cli, above: tuple[str, ...] = ()) -> Iterator[str]:
    for name in group.list_commands(click.Context(group)):
        one = group.get_command(click.Context(group), name)
        if isinstance(one, click.Group):
            yield from all_commands(one, (*above, name))
        else:
            yield " ".join((*above, name))


@pytest.mark.parametrize("name", list(all_commands()))
def test_every_command_is_documented(name):
    assert any(typed == name or typed.startswith(name + " ") for _, typed in footfall_commands())


def test_the_commands_for_trying_out_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = [
        typed
        for document, typed in footfall_commands()
        if document == "docs/developer.md" and typed.startswith(("simulate trace", "recount trace"))
    ]
    assert len(wanted) == 2
    for typed in sorted(wanted, reverse=True):  # first the trace, then recounting it
        done = CliRunner().invoke(cli, shlex.split(typed))
        assert done.exit_code == 0, done.output
    assert (tmp_path / "hours.csv").read_text().startswith("sensor,hour_utc,in,out,faults\n")


def test_the_commands_for_looking_after_a_gateway_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "footfall.toml"
    file.write_text(
        '[[serial]]\nport = "/dev/ttyUSB0"\nnode = "ff-main"\n[[site]]\nid = "lab"\ntimezone = "Europe/Berlin"\n'
        '[[site.door]]\nid = "main"\nnode = "ff-main"\n'
    )
    monkeypatch.setenv("FOOTFALL_CONFIG", str(file))
    now_ms = time.time_ns() // 1_000_000
    settings = load_settings(file)
    with Ledger.open(ledger_path(settings)) as ledger:
        clock, person = (0, "C", now_ms - HOUR_MS, "gw"), (HOUR_MS // 2, "P", 0, 1, 420)
        ledger.store([ingest.Batch("ff-main", "8f3a01c2", 1, 1, (clock, person))], now_ms=now_ms)
        Accounts(ledger, places_of(settings), publish=False).work(now_ms)
        behind_a_hole = ingest.Batch("ff-main", "8f3a01c2", 1, 9, (person,))
        ledger.store([behind_a_hole], now_ms=now_ms + 24 * HOUR_MS)  # ... and the clock goes back after it
    typed = [one for document, one in footfall_commands() if document == "docs/gateway.md"]
    wanted = [one for one in typed if re.match(r"(status|export|ledger (waive|trust-clock)) -?-?\w", one)]
    assert len(wanted) == 7
    for one in sorted(
        wanted, key=lambda one: one.startswith("status")
    ):  # `status` ends with 1 while the hole is there
        words = shlex.split(one.replace("/etc/footfall/footfall.toml", str(file)))
        done = CliRunner().invoke(cli, words, input="y\n", standalone_mode=False)
        assert (done.return_value or 0, done.exception) == (0, None), done.output
    assert len((tmp_path / "hours.csv").read_text().splitlines()) == 2


def test_the_examples_in_the_help_name_scenarios_that_are_there():
    text = CliRunner().invoke(cli, ["simulate", "trace", "--help"]).output
    for scenario in re.findall(r"footfall simulate trace (\w+)", text):
        assert scenario in built_in()


def test_every_make_target_that_is_named_exists_and_the_readme_names_the_two():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for document in DOCUMENTS:
        for line in shell_lines(document.read_text()):
            typed = re.match(r"make (?:-\w |PYTHON=\S+ )?([a-z-]+)", line.strip())
            assert typed is None or typed[1] in targets, f"{name_of(document)}: {line}"
    typed_in_readme = {line.strip() for line in shell_lines(README.read_text())}
    assert {"make demo", "make test"} <= typed_in_readme
    documented = set(re.findall(r"`make ([a-z]+)`", (ROOT / "docs/developer.md").read_text()))
    assert set(re.findall(r"^\t@echo 'make ([a-z]+) ", makefile, re.MULTILINE)) <= documented


# -------------------------------------------------------------------------------------------------------- settings


def settings_keys(kind: Any = Document) -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        inner = next((one for one in struct_types(field.type)), None)
        if inner is None:
            yield field.encode_name
        else:
            yield f"[{field.encode_name}]"
            yield from settings_keys(inner)


def struct_types(kind: Any) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for part in getattr(kind, "__args__", ()):
        yield from struct_types(part)


def test_every_key_of_the_settings_is_documented_and_no_other():
    documented = first_names(section(GATEWAY, "3. Settings"))
    keys = {name for name in documented if not name.startswith("[")}
    tables = {name.strip("[]").split(".")[-1] for name in documented if name.startswith("[")}
    real = list(settings_keys())
    assert keys == {name for name in real if not name.startswith("[")}
    assert tables == {name.strip("[]") for name in real if name.startswith("[")}


def test_the_mistake_that_is_shown_is_told_in_these_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = (ROOT / "gateway/footfall.example.toml").read_text()
    Path("footfall.toml").write_text(example.replace("\nhost = ", "\nhosst = "))
    with pytest.raises(SettingsError) as caught:
        load_settings("footfall.toml")
    [shown] = [block.strip() for block in blocks(GATEWAY, "text") if "hosst" in block]
    assert shown in caught.value.problems


def test_every_key_of_the_boards_settings_is_documented():
    file, limits = "firmware/node/config.py", "firmware/node/limits.py"
    known = [*assigned(file, "_KNOWN"), *assigned(file, "_NODE"), *assigned(limits, "PANEL")]
    inner = [*assigned(limits, "BARRIER"), *assigned(file, "_MQTT"), "outer", "inner", "ssid"]
    text = (ROOT / "firmware/README.md").read_text()
    missing = [name for name in known + inner if f"`{name}`" not in text]
    assert missing == []


def test_the_boards_settings_in_the_documents_are_json():
    for name in ("docs/firmware.md", "firmware/README.md"):
        [example] = blocks(ROOT / name, "json")
        known = assigned("firmware/node/config.py", "_KNOWN")
        assert set(json.loads(example)) <= set(known)


def test_every_variable_of_the_environment_is_documented():
    sources = [
        *ROOT.glob("gateway/footfall_gateway/*.py"),
        *ROOT.glob("simulator/footfall_simulator/*.py"),
    ]
    used = {name for path in sources for name in re.findall(r'"(FOOTFALL_[A-Z]+)"', path.read_text())}
    assert used
    assert used <= set(INLINE.findall((ROOT / "docs/developer.md").read_text()))


def test_every_package_has_a_line_in_the_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    names = {re.match(r"[A-Za-z0-9-]+", one)[0].lower() for one in wanted} - {"footfall"}  # type: ignore[index]
    told = " ".join(row[0] for row in rows((ROOT / "docs/dependencies.md").read_text())).lower()
    assert {name for name in names if name not in re.findall(r"[a-z0-9-]+", told)} == set()


# ------------------------------------------------------------------------------------------------------- the wire


def test_the_topics_are_those_of_the_core():
    told = first_names(section(WIRE, "Topics"))
    assert sorted(told) == sorted(topic.of("<node>", leaf) for leaf in topic.LEAVES)


def test_the_record_kinds_and_their_fields_are_those_of_the_core():
    told = {row[0].strip("`"): row[1].split(", ") for row in rows(section(WIRE, "A batch of records"))}
    real = {kind: [name for name, *_ in record.FIELDS[kind]] for kind in record.KINDS}
    assert told == real


def test_the_fields_of_the_state_are_those_that_the_firmware_sends():
    tree = ast.parse((ROOT / "firmware/app.py").read_text())
    [state] = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == "state"]
    [returned] = [one.value for one in ast.walk(state) if isinstance(one, ast.Return)]
    assert isinstance(returned, ast.Dict)
    sent = [ast.literal_eval(key) for key in returned.keys if key is not None]
    assert sorted(first_names(section(WIRE, "State"))) == sorted(sent)
    assert {field.name for field in msgspec.structs.fields(node_messages.NodeState)} <= set(sent)


def test_the_keys_of_the_configuration_are_those_that_the_firmware_takes():
    file = "firmware/node/limits.py"
    told = [name.removeprefix("barriers[].") for name in first_names(section(WIRE, "Configuration"))]
    assert sorted(told) == sorted(["rev", *assigned(file, "BARRIER"), *assigned(file, "PANEL")])


def test_the_commands_to_a_node_are_those_that_it_knows():
    source = (ROOT / "firmware/app.py").read_text()
    [actions] = re.findall(r"\n +actions = \{(.*?)\}", source, re.DOTALL)
    told = [row[0].split("`")[1] for row in rows(section(WIRE, "Commands"))]
    assert sorted(told) == sorted(re.findall(r'"(\w+)":', actions))


def test_the_reasons_for_refusals_are_those_of_the_gateway():
    told = first_names(section(WIRE, "What is refused"))
    assert sorted(told) == sorted([*ingest.REASONS, node_messages.BAD_STATE, node_messages.BAD_REPLY])


def test_the_messages_shown_are_messages():
    batch, ack, config, crash = blocks(WIRE, "json")
    read = read_batch("footfall/1/ff-3c71bf4a/records", batch.strip().encode())
    assert not any(isinstance(one, BadRecord) for one in read.records)
    assert payload.decode_ack(ack.strip()) == ("8f3a01c2", 1090)
    assert payload.loads(config.strip())["rev"] == 7
    report = node_messages.read_reply("footfall/1/ff-3c71bf4a/reply", crash.strip().encode())
    assert isinstance(report, node_messages.CrashReport)
    [line] = blocks(WIRE, "text")
    assert decode_line(line.strip().encode()) == ("ack", ack.strip().encode())


# ---------------------------------------------------------------------------------------------------- what is said


def strings(*patterns: str) -> str:
    """All texts of these sources, run together: of an f-string what stands still."""
    nodes = [
        node
        for pattern in patterns
        for path in ROOT.glob(pattern)
        for node in ast.walk(ast.parse(path.read_text()))
    ]
    return "\n".join(
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


# Where a message is put together from parts: between them a document shows an example, or dots
EXAMPLE_PARTS = re.compile(r"[…\"():]|\b(?:\d+|ff-\w+|town|broker|user|refused|outer beam|TLS)\b")
SHORT = 7


@pytest.mark.parametrize(
    ("document", "heading", "sources"),
    [
        ("docs/node.md", "When it says", ["gateway/footfall_gateway/**/*.py"]),
        ("docs/node.de.md", "Wenn es sagt", ["gateway/footfall_gateway/**/*.py"]),
        ("docs/gateway.md", "When it says", ["gateway/footfall_gateway/*.py"]),
        ("docs/firmware.md", "5. See it count", ["firmware/*.py", "firmware/*/*.py", "gateway/**/*.py"]),
        ("docs/firmware.md", "When it says", ["gateway/footfall_gateway/commissioning/*.py"]),
        (
            "docs/firmware.de.md",
            "Wenn es sagt",
            ["gateway/footfall_gateway/commissioning/*.py", "firmware/*/*.py"],
        ),
        ("docs/firmware.md", "7. Update it over the air", ["firmware/*/*.py", "gateway/**/*.py"]),
        ("docs/firmware.de.md", "7. Über die Luft aktualisieren", ["firmware/*/*.py", "gateway/**/*.py"]),
    ],
)
def test_messages_that_a_table_explains_are_said_in_these_words(document, heading, sources):
    said = strings(*sources)
    for row in rows(section(ROOT / document, heading)):
        for message in INLINE.findall(row[0]):
            for piece in EXAMPLE_PARTS.split(message):
                words = piece.strip(" ?,;")
                assert len(words) < SHORT or words in said, f"{words!r} of {message!r}"


def test_the_readme_shows_good_and_bad_rows_of_the_accuracy_table():
    page = {
        row[0]: row for row in rows((ROOT / "docs/accuracy.md").read_text().partition("<!-- accuracy -->")[2])
    }
    shown = rows(section(README, "How accurate"))
    for kind, walked, right, missed, extra, share in shown:
        assert page[kind][2:4] == [walked, right]
        assert page[kind][5:8] == [missed, extra, share]
    for kind in ("Single file", "Tailgating", "side by side", "Turns back", "bag", "Child below", "pram"):
        assert any(kind in row[0] for row in shown), kind


def test_the_documents_speak_of_no_particular_machine():
    for document in DOCUMENTS:
        assert re.findall(r"(?<![\w.])/(?:tmp|work|root|home/\w+)/\S*", document.read_text()) == []


# ------------------------------------------------------------------------------------------- the broker's settings


class DocumentedMosquitto(Mosquitto):
    """A real mosquitto on the very settings of docs/gateway.md; only paths, port and user are this test's."""

    def _prepare(self) -> list[str]:
        [text] = [block for block in blocks(GATEWAY, "ini") if "listener" in block]
        [acl] = [block for block in blocks(GATEWAY, "text") if block.startswith("pattern write")]
        for written, here in (
            ("listener 1883", f"listener {self.port} {self.host}"),
            ("/etc/mosquitto/footfall.passwords", str(self.folder / "passwords")),
            ("/etc/mosquitto/footfall.acl", str(self._write("documented.acl", acl))),
        ):
            assert text.count(written) == 1
            text = text.replace(written, here)
        if os.geteuid() == 0:
            text += "user root\n"
        return self._part.argv("-c", str(self._write("documented.conf", text)))


def test_the_documented_broker_lets_a_node_speak_for_itself_only(tmp_path):
    folder = tmp_path / "broker"
    heard: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    subscribed = threading.Event()
    with DocumentedMosquitto(folder, users={"ff-a": "a", "gateway": "g"}) as broker:
        gateway = client_of(broker, "gateway", "g")
        gateway.on_message = lambda _client, _data, message: heard.put((message.topic, message.payload))
        gateway.on_subscribe = lambda *_: subscribed.set()
        gateway.subscribe("footfall/1/+/records", 1)
        assert subscribed.wait(LIMIT_S)
        node = client_of(broker, "ff-a", "a")
        for name, content in (("ff-b", b"not its own"), ("ff-a", b"its own")):
            node.publish(topic.of(name, topic.RECORDS), content, 1).wait_for_publish(LIMIT_S)
        assert heard.get(timeout=LIMIT_S) == ("footfall/1/ff-a/records", b"its own")
        for client in (gateway, node):
            client.disconnect()
            client.loop_stop()


def client_of(broker: Mosquitto, user: str, password: str) -> paho.Client:
    answer: queue.SimpleQueue[bool] = queue.SimpleQueue()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(user, password)
    client.on_connect = lambda _client, _data, _flags, code, _properties: answer.put(code.is_failure)
    client.connect(broker.host, broker.port)
    client.loop_start()
    assert not answer.get(timeout=LIMIT_S), broker.log_tail()
    return client
