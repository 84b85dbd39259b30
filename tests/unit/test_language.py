"""In which language commands speak, and that nothing that `footfall flash`, `accept` and `node` can say lacks its German.

The sentences are taken from the sources, so that a new one without German is seen here.
"""

import ast
import errno
import re
import socket
import ssl
import string
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from footfall_gateway import link_mqtt
from footfall_gateway.commissioning import language
from footfall_gateway.commissioning.german import GERMAN, TOLD
from footfall_gateway.commissioning.language import language_option, of_this_computer, speak, told, tr
from footfall_gateway.settings import MqttSettings

ROOT = Path(__file__).parents[2]
FOLDER = Path(language.__file__).parent
PACKAGE = "footfall_gateway.commissioning"
SAYS = {"tr", "marked"}
TWO_WORDS = re.compile(r"[A-Za-z]{2,}[,;:]? \(?[a-z]{2,}")
A_WORD = re.compile(r"(?<![\w.\[/-])[a-z]{4,}(?![\w.\]/-])")


@pytest.fixture
def german_spoken():
    speak("de")
    yield
    speak("en")


def imported(module: str, seen: set[str]) -> set[str]:
    """The module, and all of this package that it needs."""
    seen.add(module)
    for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(PACKAGE):
            continue
        names = [node.module.removeprefix(PACKAGE).lstrip(".")]
        names += [alias.name for alias in node.names] if node.module == PACKAGE else []
        for name in names:
            if name and name not in seen and (FOLDER / f"{name}.py").is_file():
                imported(name, seen)
    return seen


COMMANDS = ("flash_cli", "accept_cli", "node_cli")
MODULES = sorted(set().union(*(imported(command, set()) for command in COMMANDS)) - {"german", "language"})


def called(node: ast.AST) -> str:
    """The name of the function that this calls; "" for what is no call."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def fields(sentence: str) -> list[tuple[str, str | None, str | None]]:
    """The placeholders, with how they are shown."""
    return sorted((name, form, as_) for _, name, form, as_ in string.Formatter().parse(sentence) if name is not None)  # fmt: skip


def sentences() -> Iterator[tuple[str, ast.Call]]:
    """Everything in this package that is said by `tr` or kept for it by `marked`."""
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if called(node) in SAYS and isinstance(node.args[0], ast.Constant):
                yield node.args[0].value, node


def test_the_modules_of_the_commands_are_found():
    assert {"flash_cli", "flashing", "images", "ports", "provisioning", "repl", "self_test"} <= set(MODULES)
    assert {"accept_dialogue", "accept_words", "acceptance", "node_link", "node_target"} <= set(MODULES)


def test_every_sentence_has_its_german_and_every_german_one_is_said():
    assert sorted({sentence for sentence, _ in sentences()} ^ set(GERMAN)) == []


@pytest.mark.parametrize("table", [GERMAN, TOLD], ids=["GERMAN", "TOLD"])
def test_the_german_has_the_same_placeholders(table):
    assert {
        english: fields(german) for english, german in table.items() if fields(english) != fields(german)
    } == {}


def test_every_placeholder_gets_its_value():
    for sentence, call in sentences():
        if called(call) == "tr":
            given = {keyword.arg for keyword in call.keywords}
            assert {name for name, _, _ in fields(sentence)} == given, sentence


def test_what_stands_before_and_behind_a_sentence_is_the_same_in_german():
    """Indentation, new lines, what rich makes bold; and what is to be typed."""
    for english, said in GERMAN.items():
        assert re.match(r"\s*", english)[0] == re.match(r"\s*", said)[0]
        assert re.findall(r"\[/?[a-z ]*\]", english) == re.findall(r"\[/?[a-z ]*\]", said)
        for typed in (
            r"--[a-z][a-z-]+",
            r"footfall (?:flash|run|update|node)\b(?: (?:info|list|send|shell))?",
            r"`[^`]+`",
            r"sudo \w+",
            r"(?<!\.)\b\w+\.(?:toml|md|txt)",
        ):
            assert sorted(re.findall(typed, english)) == sorted(re.findall(typed, said)), english


ENGLISH = re.compile(
    r"\b(the|is|are|of|and|with|not|its?|to|for|this|that|be|has|press|try|give|file|found|on|or|no|does)\b",
    re.IGNORECASE,
)
NOT_WORDS = re.compile(r"\{[^}]*\}|`[^`]*`|\w+_\w+|docs/\S+, .*|\[/?[a-z ]*\]|--\S+")


@pytest.mark.parametrize("table", [GERMAN, TOLD], ids=["GERMAN", "TOLD"])
def test_no_english_is_left(table):
    assert [said for said in table.values() if ENGLISH.search(NOT_WORDS.sub("", said))] == []


@pytest.mark.parametrize("table", [GERMAN, TOLD], ids=["GERMAN", "TOLD"])
def test_nobody_is_addressed_and_no_inch_marks_are_quotation_marks(table):
    for english, said in table.items():
        assert not re.search(r"\b(Sie|Ihr|Ihre|Ihren|Ihrem|du|dein)\b(?! in eine)", said), said
        assert '"' not in said or '"' in english, said


# ------------------------------------------------------------------------------------- nothing is said but through `tr`

# calls whose texts programs read, and constants that are such texts
TO_PROGRAMS = {"run", "_run", "exec_raw_no_follow", "compile", "search", "findall", "option", "command", "Thread",
    "ValueError",
    "config_option", "removesuffix"}  # fmt: skip
PROGRAMS = {"longer", "restart", "_LOOK", "_TOOLS", "_SIGNS", "_RAW", "code"}
IN_FILES = ("barrier =", "valid_from =", "node =", "role =", "[[serial]]")  # of footfall.toml


def unsaid(path: Path) -> Iterator[str]:
    """What looks like words for people, and is not said through `tr`: two words, in an f-string one."""
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        looks_so = A_WORD if isinstance(parents[node], ast.JoinedStr) else TWO_WORDS
        if not looks_so.search(node.value) or node.value.strip().startswith(IN_FILES):
            continue
        above: ast.AST = node
        said = False
        while above in parents and not said:
            child, above = above, parents[above]
            said = (
                (isinstance(above, ast.Expr) and above.value is node)  # a docstring
                or called(above) in SAYS | TO_PROGRAMS
                or (isinstance(above, ast.FunctionDef) and child in above.decorator_list)
                or (isinstance(above, ast.Assign) and ast.unparse(above.targets[0]) in PROGRAMS)
                or isinstance(above, ast.Compare)  # with what others have said
                or (ast.get_source_segment(source, node) or "").startswith('r"')  # a pattern
            )  # fmt: skip
        if not said:
            yield f"{path.name}:{node.lineno}: {node.value!r}"


def test_nothing_is_said_but_through_the_one_way():
    assert [one for module in MODULES for one in unsaid(FOLDER / f"{module}.py")] == []


# -------------------------------------------------------------------------------------- what the node and its rules say

FIRMWARE = ROOT / "firmware"


def texts(path: str, *inside: str) -> Iterator[str]:
    """What looks like words for people in these functions and constants of the firmware, with {…} for its %s and %d."""
    tree = ast.parse((FIRMWARE / path).read_text("utf-8"))
    for node in ast.walk(tree):
        name = node.name if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else ""
        name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else name
        if name not in inside:
            continue
        documentation = {one.value for one in ast.walk(node) if isinstance(one, ast.Expr)}
        for one in ast.walk(node):
            if isinstance(one, ast.Constant) and isinstance(one.value, str) and one not in documentation:
                yield one.value


def shown(text: str) -> str:
    """With something in place of what is filled in."""
    return re.sub(r"%\d*[sdx]", "7", text)


SELF_TEST = [
    text
    for text in texts(
        "node/selftest.py", "_light_lamps", "_watch", "_beam", "_button", "_flash", "_reach", "_BEAMS"
    )
    if re.search(r"[a-z]{4,}", text) and text not in ("pressed_level", "ssid", "inner", "outer", ".new")
]
WIFI = [
    text for text in texts("board/wifi.py", "_REASONS", "_reason") if not text.isupper() and "_" not in text
]
REFUSALS = [text for text in texts("node/mqtt.py", "_REFUSALS") if text]
REASONS = [
    text for text in texts("node/mqtt.py", "why") if " " in text.strip() and text not in ("TLS: ", "%s %s")
]


def raised(path: str, error: str) -> Iterator[str]:
    """What is said in calls of this name."""
    for node in ast.walk(ast.parse((FIRMWARE / path).read_text("utf-8"))):
        if called(node) == error:
            texts = [one.value for arg in node.args for one in ast.walk(arg) if isinstance(one, ast.Constant)]
            yield from (text for text in texts if isinstance(text, str) and " " in text.strip())


BROKER = [text for text in raised("node/mqtt.py", "MqttError") if text != "broker refused "]
REFUSED = [
    text
    for path in ("node/commands.py", "node/connect.py", "app.py")
    for text in [*raised(path, "ValueError"), *raised(path, "give_up")]
]
EXPECTED = [text for path in ("node/config.py", "node/limits.py") for text in raised(path, "SettingError")]


@pytest.mark.parametrize("text", dict.fromkeys([*SELF_TEST, *WIFI, *BROKER, *REASONS, *REFUSED]))
def test_what_a_node_says_of_itself_has_its_german(text, german_spoken):
    said = shown(("town" if text.startswith(":") else "") + text)
    assert told(said) != said
    assert told(f"town: {said}").endswith(told(said))  # behind the name of a network


@pytest.mark.parametrize("text", REFUSALS)
def test_what_a_broker_refuses_has_its_german(text, german_spoken):
    assert told(f"broker refused {text}").startswith("der Broker weist ab: ")
    assert text not in told(f"broker refused {text}")


@pytest.mark.parametrize("text", dict.fromkeys(EXPECTED))
def test_what_the_rules_of_settings_expect_has_its_german(text, german_spoken):
    expected = shown(text) + ("4, 13" if text.endswith(" ") else "")
    said = told(f'wifi.ssid is "x is y", expected {expected}')
    assert said.startswith('wifi.ssid ist "x is y", erwartet wird ')
    assert expected not in said


def _unverified():
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "unable to get local issuer certificate"
    return error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        socket.gaierror(),
        ssl.SSLError(1, "wrong version number"),
        _unverified(),
        OSError(errno.EIO, "Input/output error"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_why_the_broker_is_not_reached_has_its_german(error, german_spoken, tmp_path):
    ca = tmp_path / "ca.pem"
    said = link_mqtt.failure(error, MqttSettings(host="x", ca_file=ca))
    assert not ENGLISH.search(
        re.sub(r"unable .*?certificate|wrong version number|input/output error", "", told(said))
    ), told(said)
    assert told(said) != said


@pytest.mark.parametrize("user", [None, "gateway"])
def test_what_the_broker_refuses_has_its_german(user, german_spoken):
    for name in ("Not authorized", "Server unavailable"):
        said = link_mqtt.refusal(ReasonCode(PacketTypes.CONNACK, name), MqttSettings(host="x", username=user))
        assert told(said).replace(name.lower(), "") != said
        assert "refuses" not in told(said)
    assert told(link_mqtt.ENDED_AT_ONCE) != link_mqtt.ENDED_AT_ONCE


def test_what_nobody_has_foreseen_stays_as_it_is(german_spoken):
    """mbedTLS, MicroPython, another version of the firmware."""
    for words in (
        "TLS: The certificate is not correctly signed by the trusted CA",
        "OSError [Errno 5] EIO",
        "50% {x}",
    ):
        assert told(words) == words
    assert told("town: TLS: no 5 }{") == "town: TLS: no 5 }{"
    assert told("status is 99, expected a list") == "status ist 99, erwartet wird a list"
    assert tr("never said {x}", x=1) == "never said 1"


def test_what_a_node_says_is_found():
    assert len(SELF_TEST) > 20
    assert len(WIFI) > 5
    assert len(BROKER) > 8
    assert len(REASONS) > 4
    assert len(REFUSED) > 6
    assert len(EXPECTED) > 7


# ------------------------------------------------------------------------------------------------------- which language


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LANG": "de_DE.UTF-8"}, "de"),
        ({"LANG": "de_AT"}, "de"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "de_DE.UTF-8"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "", "LC_MESSAGES": ""}, "de"),
    ],
)
def test_the_language_is_that_of_the_computer(variables, language, monkeypatch):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert of_this_computer() == language


@pytest.mark.parametrize(
    ("system", "language"), [("German_Germany", "de"), ("English_United States", "en"), (None, "en")]
)
def test_a_computer_without_these_variables_is_asked(system, language, monkeypatch):
    """Windows."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("locale.getlocale", lambda: (system, "cp1252"))
    assert of_this_computer() == language


@pytest.mark.parametrize(
    ("computer", "options", "said"),
    [
        ("de_DE.UTF-8", [], "Tür"),
        ("de_DE.UTF-8", ["--language", "en"], "door"),
        ("C", ["--language", "de"], "Tür"),
        ("C", [], "door"),
    ],
)
def test_a_command_speaks_the_language_that_is_asked_for_and_no_longer_than_it_runs(
    computer, options, said, monkeypatch
):
    @click.command()
    @language_option
    def command() -> None:
        click.echo(tr("door"))

    monkeypatch.setenv("LC_ALL", computer)
    assert CliRunner().invoke(command, options).output == f"{said}\n"
    assert tr("door") == "door"


def test_the_commands_choose_it_in_the_same_way():
    for module in ("flash_cli", "accept_cli", "node_cli", "node_target"):
        source = (FOLDER / f"{module}.py").read_text("utf-8")
        assert "language_option" in source
        assert '"--language"' not in source
