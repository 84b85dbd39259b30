"""The compose set-up, as far as it can be tried without a container engine.

The broker's configuration runs in a real mosquitto, the gateway's settings are loaded by the gateway, and what the files
say of each other has to fit. That the containers start was not tried; dashboards/README.md says so.
"""

import importlib.util
import os
import queue
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import yaml

from footfall_gateway.settings import load_settings
from tests.dashboards.grafana import DATABASE, FOLDER
from tests.servers import Mosquitto

COMPOSE = FOLDER / "compose"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
NODE, OTHER = "ff-3c71bf4a", "ff-51d0c2e7"
WITHIN_S = 60


@pytest.fixture
def make_secrets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_secrets", COMPOSE / "make_secrets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def made(make_secrets: ModuleType, tmp_path: Path) -> Path:
    """A folder with the secrets of two nodes."""
    make_secrets.make(tmp_path / "compose", [NODE, OTHER])
    return tmp_path / "compose"


# -------------------------------------------------------------------------------------------------------- files


def test_images_are_pinned_to_a_version() -> None:
    images = [service["image"] for service in SERVICES.values() if "image" in service]
    assert len(images) == 3
    assert all(re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+", image) for image in images)


def test_nothing_is_open_to_the_network_unless_it_is_asked_for() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == 3
    for port in published:
        assert re.match(r"127\.0\.0\.1:|\$\{FOOTFALL_MQTT_ADDRESS:-127\.0\.0\.1\}:", port)


def test_every_file_that_a_container_mounts_exists_or_is_made(made: Path) -> None:
    sources = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    paths = [source for source in sources if source.startswith(".")]
    assert len(paths) == 12
    for path in paths:
        assert (COMPOSE / path).exists() or (made / path).exists(), path


def test_every_variable_of_the_compose_file_is_made(made: Path) -> None:
    used = set(re.findall(r"\$\{(\w+)(?::\?[^}]*)?\}", (COMPOSE / "compose.yaml").read_text()))
    assert used == set(variables(made))
    assert all(variables(made).values())


def test_grafana_gets_what_its_provisioning_asks_for() -> None:
    environment = SERVICES["grafana"]["environment"]
    text = (FOLDER / "grafana/provisioning/datasources/footfall.yaml").read_text()
    assert set(re.findall(r"\$(\w+)", text)) <= environment.keys()
    # InfluxDB's init script gives the same password to the user that the provisioning names
    password = "FOOTFALL_GRAFANA_READS"
    assert environment[password] == SERVICES["influxdb"]["environment"][password]
    script = (COMPOSE / "influxdb-init.sh").read_text()
    assert "--username grafana" in script
    assert yaml.safe_load(text)["datasources"][0]["user"] == "grafana"
    # and the database name of the InfluxQL mapping
    assert f"--db {DATABASE} " in script
    assert yaml.safe_load(text)["datasources"][0]["jsonData"]["dbName"] == DATABASE
    assert "--write-bucket" not in script


def test_grafana_finds_the_dashboards_where_its_provider_looks() -> None:
    provider = yaml.safe_load((FOLDER / "grafana/provisioning/dashboards/footfall.yaml").read_text())[
        "providers"
    ][0]
    mounted = {volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]}
    at = provider["options"]["path"]
    assert {f"{at}/{path.name}" for path in (FOLDER / "grafana").glob("*.json")} <= mounted
    assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounted


def test_influxdb_runs_the_init_script() -> None:
    assert os.access(COMPOSE / "influxdb-init.sh", os.X_OK)  # the image runs executable files ending in sh
    assert "./influxdb-init.sh:/docker-entrypoint-initdb.d/footfall.sh:ro" in SERVICES["influxdb"]["volumes"]


def test_the_gateway_accepts_its_settings(made: Path) -> None:
    (made / "footfall.toml").write_text((COMPOSE / "footfall.toml").read_text())
    settings = load_settings(made / "footfall.toml")
    assert settings.warnings == ()
    assert settings.mqtt is not None
    assert settings.influxdb is not None
    assert settings.mqtt.host in SERVICES
    assert settings.influxdb.bucket == SERVICES["influxdb"]["environment"]["DOCKER_INFLUXDB_INIT_BUCKET"]
    assert settings.influxdb.org == SERVICES["influxdb"]["environment"]["DOCKER_INFLUXDB_INIT_ORG"]
    # mounted beside each other, as they lie here, and the data where the container keeps it
    mounted = {volume.split(":")[1] for volume in SERVICES["gateway"]["volumes"]}
    files = (settings.path, settings.mqtt.password_file, settings.influxdb.token_file, settings.gateway.data)
    assert {f"/etc/footfall/{Path(str(file)).relative_to(made.absolute())}" for file in files} == mounted


# ------------------------------------------------------------------------------------------------------ secrets


def variables(made: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (made / ".env").read_text().splitlines())


def passwords(made: Path) -> dict[str, str]:
    return dict(line.split() for line in (made / "secrets/nodes.txt").read_text().splitlines())


def test_secrets_are_readable_by_their_owner_alone(made: Path) -> None:
    files = [made / ".env", *(made / "secrets").iterdir()]
    assert len(files) == 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((made / "secrets").stat().st_mode) == 0o700


def test_a_second_run_adds_a_node_and_changes_no_password(make_secrets: ModuleType, made: Path) -> None:
    before = variables(made), passwords(made), (made / "secrets/gateway.mqtt").read_text()
    make_secrets.make(made, ["ff-new", NODE])
    new = passwords(made).pop("ff-new")
    assert new
    after = variables(made), {k: v for k, v in passwords(made).items() if k != "ff-new"}
    assert (*after, (made / "secrets/gateway.mqtt").read_text()) == before
    users = [line.split(":")[0] for line in (made / "secrets/mosquitto.passwords").read_text().splitlines()]
    assert users == ["gateway", NODE, OTHER, "ff-new"]


@pytest.mark.parametrize("name", ["Door 1", "gateway", "", "a:b", "x" * 33])
def test_a_name_that_no_node_can_have_is_refused_in_one_line(
    make_secrets: ModuleType, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_secrets.main([name]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert name in line
    assert "expected" in line


# ------------------------------------------------------------------------------------------------------- broker


class ComposeMosquitto(Mosquitto):
    """A real mosquitto on the very configuration of the compose set-up; only paths, port and user are this test's."""

    def __init__(self, folder: Path, made: Path) -> None:
        super().__init__(folder)
        self._made = made

    def _prepare(self) -> list[str]:
        text = (COMPOSE / "mosquitto.conf").read_text()
        places = {
            "listener 1883": f"listener {self.port} 127.0.0.1",
            "/mosquitto/config/mosquitto.passwords": str(self._made / "secrets/mosquitto.passwords"),
            "/mosquitto/config/mosquitto.acl": str(
                self._write("acl", (COMPOSE / "mosquitto.acl").read_text())
            ),
            "/mosquitto/data/": f"{self.folder}/",
        }
        for in_container, here in places.items():
            assert text.count(in_container) == 1
            text = text.replace(in_container, here)
        if os.geteuid() == 0:
            text += "user root\n"
        return self._part.argv("-c", str(self._write("mosquitto.conf", text)))


@pytest.fixture
def broker(tmp_path: Path, made: Path) -> Iterator[ComposeMosquitto]:
    with ComposeMosquitto(tmp_path / "broker", made) as running:
        yield running


class Client:
    """An MQTT client whose connection and messages can be waited for."""

    def __init__(self, broker: Mosquitto, user: str | None, password: str | None, client_id: str) -> None:
        self.codes: queue.Queue[str] = queue.Queue()
        self.subscribed: queue.Queue[None] = queue.Queue()
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id)
        self.mqtt.username_pw_set(user, password)
        self.mqtt.on_connect = lambda _client, _data, _flags, code, _properties: self.codes.put(str(code))
        self.mqtt.on_subscribe = lambda *_: self.subscribed.put(None)
        self.mqtt.on_message = lambda _client, _data, message: self.messages.put(
            (message.topic, message.payload)
        )
        self.mqtt.connect("127.0.0.1", broker.port)
        self.mqtt.loop_start()

    def subscribe(self, topic: str) -> None:
        self.mqtt.subscribe(topic, qos=1)
        self.subscribed.get(timeout=WITHIN_S)

    def publish(self, topic: str, payload: str) -> None:
        self.mqtt.publish(topic, payload, qos=1).wait_for_publish(WITHIN_S)

    def close(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


@pytest.fixture
def connect(broker: ComposeMosquitto) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make(user: str | None, password: str | None) -> Client:
        clients.append(Client(broker, user, password, f"test-{len(clients)}"))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_a_node_speaks_and_hears_only_under_its_own_name(connect: Callable[..., Client], made: Path) -> None:
    gateway = connect("gateway", (made / "secrets/gateway.mqtt").read_text().strip())
    node = connect(NODE, passwords(made)[NODE])
    for leaf in ("records", "state", "reply"):
        gateway.subscribe(f"footfall/1/+/{leaf}")
    node.subscribe("footfall/1/#")
    node.publish(f"footfall/1/{OTHER}/records", "under a foreign name")
    node.publish(f"footfall/1/{NODE}/ack", "what only the gateway may say")
    for leaf in ("records", "state", "reply"):
        node.publish(f"footfall/1/{NODE}/{leaf}", leaf)
    heard = [gateway.messages.get(timeout=WITHIN_S) for _ in range(3)]
    assert heard == [(f"footfall/1/{NODE}/{leaf}", leaf.encode()) for leaf in ("records", "state", "reply")]

    gateway.publish(f"footfall/1/{OTHER}/command", "for another node")
    for leaf in ("ack", "config", "command"):
        gateway.publish(f"footfall/1/{NODE}/{leaf}", leaf)
    heard = [node.messages.get(timeout=WITHIN_S) for _ in range(3)]
    assert heard == [(f"footfall/1/{NODE}/{leaf}", leaf.encode()) for leaf in ("ack", "config", "command")]
    assert gateway.messages.empty()


@pytest.mark.parametrize(("user", "password"), [(None, None), (NODE, "wrong"), ("stranger", "x")])
def test_the_broker_turns_strangers_away(
    connect: Callable[..., Client], user: str | None, password: str | None
) -> None:
    assert connect(user, password).codes.get(timeout=WITHIN_S) == "Not authorized"


def test_the_gateways_own_password_opens_the_broker(connect: Callable[..., Client], made: Path) -> None:
    password = (made / "secrets/gateway.mqtt").read_text().strip()
    assert connect("gateway", password).codes.get(timeout=WITHIN_S) == "Success"
