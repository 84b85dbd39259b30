"""What the node says of WiFi, broker and time, and what `footfall flash` tells the person to do: the words are the firmware's own.

They are taken from its sources, or from a real MicroPython that meets a real TLS server, so that a change there is seen here.
"""

import ast
import datetime as dt
import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from footfall_gateway.commissioning.self_test import all_well, findings
from tests.virtual_chip import SHIMS

FIRMWARE = Path(__file__).parents[2] / "firmware"
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def constant(path, name):
    for node in ast.parse((FIRMWARE / path).read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    pytest.fail(f"{path} has no {name}")


def way_out(name, words):
    [found] = findings([[name, False, words]])
    assert found.mark == "✗"
    return found.to_do


WIFI = dict(constant("board/wifi.py", "_REASONS"))


@pytest.mark.parametrize(
    ("reason", "to_do"),
    [
        ("STAT_WRONG_PASSWORD", "Correct the WiFi password"),
        ("STAT_HANDSHAKE_TIMEOUT", "Correct the WiFi password"),
        ("STAT_NO_AP_FOUND", "An ESP32 cannot hear 5 GHz"),
        ("STAT_ASSOC_FAIL", "The access point lets this board not in"),
        ("STAT_BEACON_TIMEOUT", "Is the access point on"),
        ("STAT_CONNECTING", "Is the access point on"),
    ],
)
def test_every_reason_of_the_wifi_has_its_way_out(reason, to_do):
    assert to_do in way_out("wifi", f"town: {WIFI[reason]}")


def test_no_reason_of_the_wifi_is_without_a_case_above():
    marks = [
        mark
        for mark in test_every_reason_of_the_wifi_has_its_way_out.pytestmark
        if mark.name == "parametrize"
    ]
    assert {case[0] for case in marks[0].args[1]} == set(WIFI)


@pytest.mark.parametrize("refusal", [text for text in constant("node/mqtt.py", "_REFUSALS") if text])
def test_every_refusal_of_the_broker_has_a_way_out(refusal):
    to_do = way_out("broker", "broker refused " + refusal)
    assert to_do
    if "password" in refusal:
        assert "Put this node's line (below) into mosquitto's password file" in to_do


def test_of_parts_that_need_each_other_only_the_first_is_to_be_looked_at():
    found = findings(
        [
            ["flash", True, "written"],
            ["wifi", False, "town: x"],
            ["broker", False, "not reached yet"],
            ["time", False, "?"],
        ]
    )
    assert [one.to_do for one in found[2:]] == ["First the wifi: this needs it."] * 2
    assert not all_well(found)


def test_what_only_eyes_can_tell_is_neither_well_nor_wrong():
    [found] = findings([["lamps", None, "3 lit one after the other: did you see each?"]])
    assert found.mark == "?"
    assert found.to_do == ""
    assert all_well([found])


@pytest.fixture
def tls_server():
    """Serves one greeting with the given certificate; its port."""
    sockets = []
    threads = []

    def serve(certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def greet():
            try:
                connection, _ = listener.accept()
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                pass

        threads.append(threading.Thread(target=greet, daemon=True))
        threads[-1].start()
        return listener.getsockname()[1]

    yield serve
    for one in sockets:
        one.shutdown(socket.SHUT_RDWR)
    for one in threads:
        one.join()
    for one in sockets:
        one.close()


SAYS = """
import sys
sys.path.append(sys.argv[3])
import ssl, socket
from node.mqtt import why
c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
c.verify_mode = ssl.CERT_REQUIRED
c.load_verify_locations(cadata=open(sys.argv[2], "rb").read())
s = socket.socket()
s.connect(socket.getaddrinfo("127.0.0.1", int(sys.argv[1]))[0][-1])
try:
    c.wrap_socket(s, server_hostname="gateway.example")
    show("fine")
except Exception as error:
    show(why(error))
"""


@pytest.mark.parametrize(
    ("case", "to_do"),
    [
        ("fine", None),
        ("another authority", "is not of the authority that signed the broker's"),
        ("another name", "set mqtt.server_name to the name in the broker's certificate"),
        ("expired", "The board's clock or the certificate's dates are off"),
        ("not yet", "The board's clock or the certificate's dates are off"),
    ],
)
def test_what_tls_does_not_like_has_its_way_out(case, to_do, tls_server, run_on_board, ca, tmp_path):
    times = {"expired": {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY},
             "not yet": {"not_before": NOW + DAY, "not_after": NOW + 9 * DAY}}.get(case, {})  # fmt: skip
    name = "other.example" if case == "another name" else "gateway.example"
    port = tls_server(ca.issue_cert(name, **times))
    trusted = trustme.CA() if case == "another authority" else ca
    (tmp_path / "ca.der").write_bytes(ssl.PEM_cert_to_DER_cert(trusted.cert_pem.bytes().decode()))
    said = run_on_board(SAYS, port, tmp_path / "ca.der", SHIMS)
    if to_do is None:
        assert said == "fine"
    else:
        assert to_do in way_out("broker", said[:160]), said
