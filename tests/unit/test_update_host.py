"""The computer's side of an update: keys, bundles, the sender's words."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from footfall_gateway.cli import cli
from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.bundle import Bundle, make_bundle, read_bundle
from footfall_gateway.commissioning.device_files import DeviceFile
from footfall_gateway.commissioning.node_words import update_words
from footfall_gateway.commissioning.provisioning import update_key_file
from footfall_gateway.commissioning.signing import create_key, load_key, public_half
from footfall_gateway.commissioning.update_sender import Sender

FILES = [DeviceFile("app.mpy", b"M\6\0\x1f" + bytes(2000)), DeviceFile("node/door.mpy", b"M\6\0\x1fdoor")]


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("key")
    create_key(folder / "update-key.pem", folder / "update-key.public.pem")
    return folder / "update-key.pem"


@pytest.fixture(scope="module")
def bundle(key_file: Path) -> Bundle:
    return make_bundle(FILES, "0.2.0", "esp32", load_key(key_file, never))


def never() -> str:
    raise AssertionError("nobody should be asked")


# ------------------------------------------------------------------------------------------------------------ the key


def test_only_its_owner_may_read_the_private_key_and_it_is_never_overwritten(key_file):
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    before = key_file.read_bytes()
    with pytest.raises(CommissioningError, match=r"is there already, and is not overwritten"):
        create_key(key_file, key_file.with_suffix(".other"))
    assert key_file.read_bytes() == before
    assert b"PRIVATE" not in key_file.with_suffix(".public.pem").read_bytes()


def test_what_flash_puts_onto_a_node_is_the_public_half_of_this_key(key_file):
    put = update_key_file(key_file.with_suffix(".public.pem"))
    assert put.path == "update_key.json"
    assert json.loads(put.content) == json.loads(public_half(load_key(key_file, never)))
    assert len(json.loads(put.content)["n"]) == 768


def test_a_passphrase_protects_the_file_and_a_wrong_one_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(cli, ["update", "key", "--passphrase"], input="opensesame\nopensesame\n")
    assert made.exit_code == 0, made.output
    assert "opensesame" not in made.output
    assert load_key(tmp_path / "update-key.pem", lambda: "opensesame").key_size == 3072
    with pytest.raises(CommissioningError, match=r"update-key.pem: the passphrase is wrong"):
        load_key(tmp_path / "update-key.pem", lambda: "guess")


def pem(key: Any) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, r"cannot be read: .*\nMake a key with `footfall update key`"),
        (b"hello", "not a private key in PEM form"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
        (pem(rsa.generate_private_key(65_537, 1024)), "at least 2048 bits"),
        (pem(rsa.generate_private_key(3, 2048)), "exponent 65537"),
    ],
    ids=["no file", "no key", "another kind", "too short", "another exponent"],
)
def test_a_key_that_no_node_could_check_is_refused_in_words(tmp_path, content, words):
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommissioningError, match=words):
        load_key(path, never)


# --------------------------------------------------------------------------------------------------------- the bundle


def test_a_bundle_is_read_back_as_it_was_made_and_made_again_it_is_the_same(tmp_path, bundle, key_file):
    path = tmp_path / "a.ffu"
    path.write_bytes(bundle.content)
    assert read_bundle(path) == bundle
    assert make_bundle(FILES, "0.2.0", "esp32", load_key(key_file, never)) == bundle
    assert bundle.content.endswith(FILES[0].content + FILES[1].content)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda content: content[:-1], "truncated"),
        (lambda content: content[:100], "not an update bundle"),
        (lambda content: content[:-4] + b"Door", r"damaged in node/door.mpy"),
        (lambda content: content + b"x", "longer than its list of files"),
        (lambda content: b"", "not an update bundle"),
        (lambda content: b"PK\3\4" + content, "not an update bundle"),
        (lambda content: content.replace(b'"ffu":1', b'"ffu":9'), "format 9.*use a newer footfall"),
    ],
)
def test_a_spoilt_bundle_is_named_before_anything_is_sent(tmp_path, bundle, spoil, words):
    path = tmp_path / "a.ffu"
    path.write_bytes(spoil(bundle.content))
    with pytest.raises(CommissioningError, match=rf"a.ffu: .*{words}"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("files", "version", "words"),
    [
        (FILES, "0.2.0rc1", "a node compares only versions such as 0.2.0"),
        (FILES[1:], "0.2.0", "there is no app among the files"),
        ([*FILES, DeviceFile("../main.py", b"")], "0.2.0", r"not files of a firmware: \.\./main.py"),
    ],
)
def test_what_no_node_would_take_is_not_signed(key_file, files, version, words):
    with pytest.raises(CommissioningError, match=words):
        make_bundle(files, version, "esp32", load_key(key_file, never))


def test_the_command_builds_a_bundle_for_the_chip_and_signs_with_the_named_key(tmp_path, key_file):
    done = CliRunner().invoke(
        cli, ["update", "build", "--chip", "esp32c3", "--key", str(key_file), "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    [path] = tmp_path.glob("footfall-*-esp32c3.ffu")
    assert read_bundle(path).chip == "esp32c3"
    assert path.name in done.output


# --------------------------------------------------------------------------------------------------------- the sender


class Script:
    """A node that answers by rote: for each command sent, a list of replies. Time passes only while nothing comes."""

    def __init__(self, answer: Any) -> None:
        self.now = 0.0
        self.sent: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self._answer = answer
        self._waiting: list[dict[str, Any]] = []

    def send(self, values: dict[str, Any]) -> None:
        self.sent.append(values)
        self._waiting += [{"id": values.get("id"), **reply} for reply in self._answer(values)]

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        if self._waiting:
            return self._waiting.pop(0)
        self.now += timeout_s
        return None

    def say(self, line: str) -> None:
        self.lines.append(line)

    def sent_bytes(self, done: int, size: int) -> None:
        assert 0 <= done <= size


def sender(script: Script, bundle: Bundle, **options: Any) -> Sender:
    class Watcher:
        sent = staticmethod(script.sent_bytes)
        say = staticmethod(script.say)

    return Sender("ff-1", bundle, script, Watcher(), clock=lambda: script.now, **options)


def test_a_node_that_is_silent_is_knocked_at_for_three_minutes_and_then_named(bundle):
    script = Script(lambda _: [])
    with pytest.raises(
        CommissioningError, match=r"ff-1 has not been heard for 3 minutes\n.*it goes on where"
    ):
        sender(script, bundle).run()
    assert 170 < script.now < 200
    assert 15 < len(script.sent) < 20


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        ("the signature does not fit this node's update key", "signed with another key"),
        ("older than 0.3.0, which runs here", "--older"),
        ("made for the chip esp32, this is esp32c3", "--chip"),
        ("no update_key.json on this node, so it takes no update: footfall flash puts one there", "footfall flash"),
        ("MemoryError memory allocation failed", "Run the same command again"),
        ("this firmware was copied by hand and has no slot: use footfall flash once", "Flash it over USB once"),
        ("not enough flash: it needs 96 KB, 41 KB are free beside the spool", "spool_kb smaller"),
        ("the update to 0.3.0 is under way", "wait five minutes"),
        ("0.3.0 is on trial: wait until that is over", "Wait ten minutes"),
    ],
)  # fmt: skip
def test_what_a_node_refuses_is_told_with_its_words_and_a_way_out(bundle, error, way_out):
    script = Script(lambda values: [{"do": "update", "error": error}])
    with pytest.raises(CommissioningError) as told:
        sender(script, bundle).run()
    assert error in told.value.lines[0]
    assert way_out in told.value.lines[-1]


def test_pieces_are_what_was_asked_for_and_answers_to_others_are_left_alone(bundle):
    asks = [(0, 384), (len(bundle.content) - 5, 384), (10**9, 384), (-1, 5), ("x", 5), (0, 10**6)]

    def answer(values: dict[str, Any]) -> list[dict[str, Any]]:
        if values["do"] != "update":
            return [{"do": "info", "fw": "0.2.0", "update": None}] if values["do"] == "info" else []
        return [
            {"ask": "update", "id": "another", "offset": 3, "bytes": 4},
            {"do": "update", "id": "another", "error": "not ours"},
            *({"ask": "update", "offset": offset, "bytes": n} for offset, n in asks),
            {"do": "update", "stage": "restarting"},
        ]

    script = Script(answer)
    assert sender(script, bundle).run() is True
    pieces = [values for values in script.sent if values["do"] == "piece"]
    assert [piece["offset"] for piece in pieces] == [0, len(bundle.content) - 5, 0]
    assert len(pieces[2]["data"]) <= 1368, "a command has at most 2048 bytes"


def info(fw: str, **update: Any) -> dict[str, Any]:
    return {"do": "info", "fw": fw, "update": update or None}


def after_the_transfer(*told: dict[str, Any] | None) -> Script:
    """What `info` says, one answer after the other, the last for ever."""
    left = list(told)

    def answer(values: dict[str, Any]) -> list[dict[str, Any]]:
        if values["do"] == "update" and "confirm" not in values:
            return [{"do": "update", "stage": "restarting"}]
        if values["do"] == "info":
            one = left.pop(0) if len(left) > 1 else left[0]
            return [one] if one is not None else []
        return []

    return Script(answer)


ON_TRIAL = info("0.2.0", version="0.2.0", percent=100)


def test_a_node_that_comes_back_confirmed_is_done(bundle):
    script = after_the_transfer(None, None, ON_TRIAL, ON_TRIAL, info("0.2.0"))
    assert sender(script, bundle).run() is True
    assert not [values for values in script.sent if "confirm" in values]


def test_who_is_at_the_gateways_place_confirms(bundle):
    script = after_the_transfer(None, *[ON_TRIAL] * 5, info("0.2.0"))
    assert sender(script, bundle, vouch=True).run() is True
    assert {values["confirm"] for values in script.sent if "confirm" in values} == {"0.2.0"}


def test_a_node_that_returned_to_the_old_one_is_told_with_the_reason(bundle):
    script = after_the_transfer(ON_TRIAL, None, info("0.1.0", version="0.2.0", error="slot b: ValueError"))
    with pytest.raises(
        CommissioningError, match=r"ff-1 has returned to 0.1.0: 0.2.0 was given up \(slot b: V"
    ):
        sender(script, bundle).run()


def test_a_transfer_that_was_interrupted_after_all_goes_on(bundle):
    script = after_the_transfer(
        info("0.1.0", version="0.2.0", error="interrupted; sent again, it goes on"), ON_TRIAL, info("0.2.0")
    )
    assert sender(script, bundle).run() is True
    assert len([values for values in script.sent if values["do"] == "update"]) == 2


def test_a_node_that_never_comes_back_is_not_waited_for_for_ever(bundle):
    script = after_the_transfer(None)
    with pytest.raises(CommissioningError, match="not known which firmware it runs"):
        sender(script, bundle).run()
    assert script.now < 3000


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"version": "0.2.0", "percent": 40}, "0.2.0 arrives: 40 %"),
        ({"version": "0.2.0", "percent": 100}, "0.2.0 on trial until the gateway has its first records"),
        ({"version": None, "error": "slot b: ValueError"}, "? failed: slot b: ValueError"),
    ],
)
def test_info_says_how_an_update_stands(told, words):
    assert update_words(told) == words
