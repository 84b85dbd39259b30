"""`footfall node config`: what is meant by its options is checked before the node is spoken to."""

import pytest

from footfall_gateway import cli
from footfall_gateway.commissioning.node_change import Connection


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--wifi-password-file", "good"], "which WiFi? expected --wifi too"),
        (["--broker-user", "ff-1"], "which broker? expected --broker too"),
        (["--broker-password-file", "good"], "which broker? expected --broker too"),
        (
            ["--wifi", "town", "--wifi-password-file", "missing"],
            "missing: cannot be read: no such file or directory",
        ),
        (["--wifi", "town", "--wifi-password-file", "."], ".: cannot be read: is a directory"),
        (
            ["--wifi", "town", "--wifi-password-file", "/dev/zero"],
            "/dev/zero: expected the password as its only line",
        ),
        (
            ["--wifi", "town", "--wifi-password-file", "empty"],
            "empty: expected the password as its only line",
        ),
        (["--wifi", "town", "--wifi-password-file", "two"], "two: expected the password as its only line"),
        (
            ["--wifi", "town", "--wifi-password-file", "binary"],
            "binary: expected the password as its only line",
        ),
        *(
            (["--broker", broker], f"--broker {broker}: expected HOST or HOST:PORT")
            for broker in (
                "mqtt://10.1.2.4",
                "10.1.2.4:70000",
                "10.1.2.4:",
                "a:b:c",
                "a b",
                "",
                ":1883",
                "h:²",
            )
        ),
    ],
)
def test_an_option_that_cannot_be_meant_so_is_refused(tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    for name, content in (("good", b"x"), ("empty", b"\n"), ("two", b"a\nb\n"), ("binary", b"\xff\xfe")):
        (tmp_path / name).write_bytes(content)
    code = cli._status(["node", "config", "--port", "/dev/ttyUSB97", *options])
    said = capsys.readouterr().err
    assert (code, f"Error: {words}" in said or f"{words}\n" in said) == (2, True), said


@pytest.mark.parametrize(
    ("text", "broker"),
    [
        ("10.1.2.4", ("10.1.2.4", None)),
        ("broker.town.example:8883", ("broker.town.example", 8883)),
        ("fe80::1", ("fe80::1", None)),
    ],
)
def test_a_broker_is_a_host_and_perhaps_a_port(text, broker):
    wanted = Connection.named(None, None, text, None, None)
    assert wanted is not None
    assert wanted.asked() == {"mqtt": {"host": broker[0], "port": broker[1]}}


def test_passwords_come_from_the_files_that_are_named(tmp_path):
    (tmp_path / "wifi").write_bytes("\ufeffgeheim Ä\r\n".encode())
    (tmp_path / "broker").write_text("secret\n")
    wanted = Connection.named("town", tmp_path / "wifi", "10.1.2.4", "ff-1", tmp_path / "broker")
    assert wanted is not None
    assert wanted.asked() == {
        "wifi": {"ssid": "town", "password": "geheim Ä"},
        "mqtt": {"host": "10.1.2.4", "port": None, "user": "ff-1", "password": "secret"},
    }
