"""`footfall update` as typed, against a virtual board: over the broker, over USB, and on a node whose only way is the cable."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from footfall_gateway.cli import cli
from footfall_gateway.commissioning import CommissioningError, update_cli, update_sender
from footfall_gateway.commissioning.device_files import firmware_version
from footfall_gateway.commissioning.provisioning import update_key_file
from tests.device.a_node import NODE, ANode, a_node
from tests.device.stand_in import StandInGateway
from tests.servers import Mosquitto

SITE = '[[site]]\nid = "lab"\ntimezone = "Europe/Berlin"\n[[site.door]]\nid = "main"\nnode = "ff-test"\n'
PATIENT = {
    "deadline_s": 60
}  # at twenty seconds a second a broker that this machine keeps waiting would be given up
USERS = {"gateway": "gateway's", NODE: "node's"}


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `footfall update …` in the test's folder; errors come as they are raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(update_sender, "LOOK_S", 0.4)
    monkeypatch.setattr(update_sender, "KNOCK_S", 2.0)
    monkeypatch.setattr(update_sender, "MOST_RETRIES", 0)  # a node with everything has the memory for it

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli, ["update", *words], catch_exceptions=False, standalone_mode=False)

    return run


@pytest.fixture
def bundle(typed: Any, tmp_path: Path) -> str:
    """A key, its public half on the flash that the node will have, and a bundle of this very firmware."""
    typed("key")
    (tmp_path / "flash").mkdir()
    key = update_key_file(Path("update-key.public.pem"))
    (tmp_path / "flash" / key.path).write_bytes(key.content)
    assert typed("build", "--chip", "esp32").exit_code == 0
    return f"footfall-{firmware_version()}-esp32.ffu"


def slot_and_boot(node: ANode) -> tuple[str, str]:
    notes = json.loads((node.board.flash_dir / "start.json").read_text())
    assert "trial" not in notes
    [*_, boot] = [line for line in node.board.lines if line.startswith("footfall ")]
    return notes["slot"], boot.partition("boot ")[2].partition(",")[0]


def test_a_node_is_updated_over_tls_though_the_broker_dies_in_the_middle_and_the_gateway_is_away_at_the_end(
    typed, bundle, tmp_path, micropython, make_mosquitto, ca, monkeypatch
):
    broker = make_mosquitto(ca=ca, users=USERS)
    (tmp_path / "password").write_text(USERS["gateway"])
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "footfall.toml").write_text(
        f'[gateway]\ndata = "var"\n[mqtt]\nhost = "localhost"\nport = {broker.port}\nca_file = "{broker.ca_file}"\n'
        f'username = "gateway"\npassword_file = "password"\n{SITE}'
    )
    (tmp_path / "flash/ca.der").write_bytes(broker.ca_der_file.read_bytes())
    of_node = {"user": NODE, "password": USERS[NODE], "ca": "ca.der", "server_name": "localhost", **PATIENT}
    happened = []

    def sent(lines: object, done: int, size: int) -> None:
        if not happened and done > size / 2:
            happened.append("the broker died")
            gateway.acknowledge = False
            node.walk(3)
            broker.kill()
            broker.start()

    def say(lines: object, line: str) -> None:
        if "on trial until the gateway has its first records" in line:
            happened.append("on trial")
            assert not gateway.acknowledge
            gateway.acknowledge = True

    with (
        a_node(tmp_path, micropython, broker, rate=20, mqtt={"host": "127.0.0.1", **of_node}) as node,
        StandInGateway(broker.port, "gateway", USERS["gateway"], str(broker.ca_file)) as gateway,
    ):
        node.board.wait_for_console("time: learned")
        gateway.wait_for_state()
        same = typed("send", NODE, bundle)
        assert f"{NODE}: runs {firmware_version()} already; --again sends it all the same" in same.output
        node.walk(5)
        monkeypatch.setattr(update_cli._Lines, "sent", sent)
        monkeypatch.setattr(update_cli._Lines, "say", say)
        done = typed("send", NODE, bundle, "--again")
        assert done.return_value == 0
        assert f"{NODE}: {firmware_version()} runs and has reached the gateway" in done.output
        assert happened == ["the broker died", "on trial"]
        assert slot_and_boot(node) == ("b", "2 (update)")
        gateway.wait("everybody", lambda: len(gateway.of_kind("P")) == 8)


def test_a_node_with_a_broker_is_updated_over_usb_and_the_gateway_still_has_the_last_word(
    typed, bundle, tmp_path, micropython, mosquitto: Mosquitto
):
    with (
        a_node(tmp_path, micropython, mosquitto, rate=20) as node,
        StandInGateway(mosquitto.port),
    ):
        node.board.wait_for_console("time: learned")
        done = typed("send", NODE, bundle, "--again", "--port", node.port)
        assert f"{NODE}: {firmware_version()} runs and has reached the gateway" in done.output
        assert slot_and_boot(node) == ("b", "2 (update)")
        assert "100 %" in done.output
        assert "only the gateway's acknowledgement" in "\n".join(node.board.lines)
        with pytest.raises(CommissioningError, match="the node there is ff-test, not ff-other"):
            typed("send", "ff-other", bundle, "--port", node.port)


def test_a_node_on_a_cable_is_updated_through_the_port_of_the_settings(typed, bundle, tmp_path, micropython):
    (tmp_path / "footfall.toml").write_text(
        f'[gateway]\ndata = "var"\n[[serial]]\nport = "{tmp_path}/usb"\nnode = "{NODE}"\n{SITE}'
    )
    with a_node(tmp_path, micropython, None, rate=20, serial=True) as node:
        node.walk(5)
        done = typed("send", NODE, bundle, "--again")
        assert f"{NODE}: {firmware_version()} runs and has reached the gateway" in done.output
        assert slot_and_boot(node) == ("b", "2 (update)")
        assert node.passages() == 5
