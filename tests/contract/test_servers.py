"""The real servers do what the rest of the suite relies on: they answer, they can be killed, and they come back."""

import gzip
import queue
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable

import paho.mqtt.client as mqtt
import pytest
import trustme
from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from paho.mqtt.enums import CallbackAPIVersion
from urllib3.exceptions import HTTPError

from tests.servers import InfluxDB, Mosquitto, ServerError

HOUR = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z in ns
LIMIT_S = 60


class Client:
    """A paho client that keeps what it receives; `reason` is the broker's answer to the connect."""

    def __init__(self, name: str = "", *, clean: bool = True) -> None:
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean)
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[str] = queue.Queue()
        self.client.on_message = lambda _client, _data, message: self.messages.put(
            (message.topic, message.payload)
        )
        self.client.on_connect = lambda _client, _data, _flags, reason, _properties: self._answers.put(
            str(reason)
        )
        self.client.on_subscribe = lambda *_: self._answers.put("subscribed")

    def connect(self, broker: Mosquitto) -> str:
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        return self._answers.get(timeout=LIMIT_S)

    def subscribe(self, topic: str) -> None:
        self.client.subscribe(topic, qos=1)
        assert self._answers.get(timeout=LIMIT_S) == "subscribed"

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(LIMIT_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def client():
    client = Client("first", clean=False)
    yield client
    client.close()


def test_a_published_message_arrives(mosquitto: Mosquitto, client: Client):
    assert client.connect(mosquitto) == "Success"
    client.subscribe("a/#")
    client.publish("a/b", b"hello")
    assert client.messages.get(timeout=LIMIT_S) == ("a/b", b"hello")


def test_a_killed_broker_refuses_connections_and_comes_back_on_its_port(mosquitto: Mosquitto):
    port, first = mosquitto.port, mosquitto.pid
    mosquitto.kill()
    assert not mosquitto.running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((mosquitto.host, port), timeout=LIMIT_S)
    mosquitto.start()
    assert (mosquitto.port, mosquitto.running) == (port, True)
    assert mosquitto.pid != first


def test_a_persistent_broker_keeps_a_retained_message_through_a_restart(make_mosquitto, client: Client):
    broker = make_mosquitto(persistence=True)
    publisher = Client()
    publisher.connect(broker)
    publisher.publish("kept", b"1", retain=True)
    publisher.close()
    broker.restart()
    client.connect(broker)
    client.subscribe("kept")
    assert client.messages.get(timeout=LIMIT_S) == ("kept", b"1")


@pytest.mark.parametrize(
    ("name", "password", "answer"),
    [("node", "right", "Success"), ("node", "wrong", "Not authorized"), (None, None, "Not authorized")],
)
def test_a_broker_with_users_lets_in_only_them(make_mosquitto, client: Client, name, password, answer):
    broker = make_mosquitto(users={"node": "right", "other": "0$7:"})
    client.client.username_pw_set(name, password)
    assert client.connect(broker) == answer


def test_an_acl_keeps_a_node_to_its_own_topics(make_mosquitto, client: Client):
    broker = make_mosquitto(
        users={"ff-a": "a", "gateway": "g"},
        acl="pattern write footfall/1/%u/#\nuser gateway\ntopic read footfall/#\n",
    )
    client.client.username_pw_set("gateway", "g")
    client.connect(broker)
    client.subscribe("footfall/#")
    node = Client()
    node.client.username_pw_set("ff-a", "a")
    node.connect(broker)
    node.publish("footfall/1/ff-b/records", b"not mine")
    node.publish("footfall/1/ff-a/records", b"mine")
    node.close()
    assert client.messages.get(timeout=LIMIT_S) == ("footfall/1/ff-a/records", b"mine")


def test_a_tls_broker_is_trusted_with_its_ca_only(make_mosquitto: Callable[..., Mosquitto], ca: trustme.CA):
    broker = make_mosquitto(ca=ca)
    assert broker.ca_file is not None
    assert broker.ca_der_file is not None
    for trusted in (
        ssl.create_default_context(cafile=broker.ca_file),
        ssl.create_default_context(cadata=broker.ca_der_file.read_bytes()),
    ):
        with (
            socket.create_connection((broker.host, broker.port), timeout=LIMIT_S) as plain,
            trusted.wrap_socket(plain, server_hostname=broker.host) as secured,
        ):
            assert secured.version() in {"TLSv1.2", "TLSv1.3"}
    stranger = ssl.create_default_context()
    trustme.CA().configure_trust(stranger)
    with (
        socket.create_connection((broker.host, broker.port), timeout=LIMIT_S) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        stranger.wrap_socket(plain, server_hostname=broker.host)


def test_a_wrong_setting_is_reported_with_the_brokers_own_words(make_mosquitto):
    with pytest.raises(ServerError, match="no_such_setting"):
        make_mosquitto(settings=["no_such_setting 1"])


def test_influxdb_answers_influxql_with_rows_of_columns_and_tags(influxdb: InfluxDB):
    influxdb.create_database("footfall")
    influxdb.write("footfall", f"footfall_hour,door=a in=3i,out=1i {HOUR}\nfootfall_hour,door=b in=4i {HOUR}")
    rows = influxdb.query(
        "SELECT sum(\"in\") AS people FROM footfall_hour WHERE time >= '2026-01-01' GROUP BY door", "footfall"
    )
    assert [(row["door"], row["people"]) for row in rows] == [("a", 3), ("b", 4)]


def test_influxdb_is_the_version_that_the_documents_speak_of(influxdb: InfluxDB):
    with urllib.request.urlopen(f"{influxdb.url}/ping") as response:
        assert response.headers["X-Influxdb-Version"].startswith("1.6.7")


def test_an_error_in_a_query_is_raised_with_its_reason(influxdb: InfluxDB):
    with pytest.raises(ServerError, match="database not found"):
        influxdb.query("SELECT * FROM x", "nowhere")
    with pytest.raises(ServerError, match="error parsing query"):
        influxdb.query("SELEKT 1")


def test_a_killed_influxdb_keeps_what_it_had_acknowledged(influxdb: InfluxDB):
    influxdb.create_database("footfall")
    for round_ in range(3):
        influxdb.write("footfall", f"m v={round_}i {HOUR + round_}")
        influxdb.kill()
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"{influxdb.url}/ping")
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"{influxdb.v2_url}/ping")
        influxdb.start()
    assert [row["v"] for row in influxdb.query("SELECT v FROM m WHERE time > 0", "footfall")] == [0, 1, 2]


@pytest.fixture
def v2(influxdb: InfluxDB):
    influxdb.create_database("footfall")
    with InfluxDBClient(
        influxdb.v2_url, token="any", org="town", timeout=LIMIT_S * 1000, retries=False
    ) as client:
        yield client.write_api(SYNCHRONOUS)


@pytest.mark.parametrize(
    ("precision", "time"), [("ns", HOUR), ("us", HOUR // 10**3), ("ms", HOUR // 10**6), ("s", HOUR // 10**9)]
)
def test_influxdb_client_writes_in_every_precision(influxdb: InfluxDB, v2, precision, time):
    v2.write("footfall", record=f"m v=1i {time}", write_precision=precision)
    assert influxdb.query("SELECT v FROM m WHERE time > 0", "footfall", epoch="ns") == [
        {"time": HOUR, "v": 1}
    ]


def test_a_bucket_names_database_and_retention_policy(influxdb: InfluxDB, v2):
    influxdb.query('CREATE RETENTION POLICY "long" ON "footfall" DURATION INF REPLICATION 1')
    v2.write("footfall/long", record=f"m v=1i {HOUR}")
    assert influxdb.query("SELECT v FROM m WHERE time > 0", "footfall") == []
    assert len(influxdb.query('SELECT v FROM "long".m WHERE time > 0', "footfall")) == 1


def test_a_compressed_write_arrives(influxdb: InfluxDB):
    influxdb.create_database("footfall")
    body = gzip.compress(b"".join(b"m,n=%d v=1i %d\n" % (n, HOUR) for n in range(1000)))
    request = urllib.request.Request(
        f"{influxdb.v2_url}/api/v2/write?bucket=footfall&precision=ns", body, {"Content-Encoding": "gzip"}
    )
    with urllib.request.urlopen(request) as response:
        assert response.status == 204
    assert influxdb.query("SELECT count(v) FROM m WHERE time > 0", "footfall")[0]["count"] == 1000


@pytest.mark.parametrize(
    ("bucket", "line", "status", "message"),
    [
        ("nowhere", "m v=1i", 404, "database not found"),
        ("footfall", "m v=", 400, "unable to parse"),
        ("", "m v=1i", 400, "bucket"),
    ],
)
def test_a_refused_write_has_a_v2_error_with_influxdbs_reason(v2, bucket, line, status, message):
    with pytest.raises(ApiException) as refused:
        v2.write(bucket, record=line)
    assert refused.value.status == status
    assert message in str(refused.value.message)


def test_a_write_to_a_killed_influxdb_fails_and_the_same_client_writes_again_later(influxdb: InfluxDB, v2):
    v2.write("footfall", record=f"m v=1i {HOUR}")
    influxdb.kill()
    with pytest.raises((HTTPError, OSError)):
        v2.write("footfall", record=f"m v=2i {HOUR + 1}")
    influxdb.start()
    v2.write("footfall", record=f"m v=3i {HOUR + 2}")
    assert [row["v"] for row in influxdb.query("SELECT v FROM m WHERE time > 0", "footfall")] == [1, 3]


def test_a_killed_influxdb_behind_a_running_front_looks_like_a_cut_connection(influxdb: InfluxDB, v2):
    influxdb._process.kill()
    influxdb._process.wait()
    with pytest.raises((HTTPError, OSError)):
        v2.write("footfall", record=f"m v=1i {HOUR}")


def test_the_front_can_refuse_and_can_lose_answers(influxdb: InfluxDB, v2):
    influxdb.proxy.answer_instead(503)
    with pytest.raises(ApiException, match="503"):
        v2.write("footfall", record=f"m v=1i {HOUR}")
    influxdb.proxy.lose_answers()
    with pytest.raises((HTTPError, OSError)):
        v2.write("footfall", record=f"m v=2i {HOUR}")
    assert influxdb.query("SELECT v FROM m WHERE time > 0", "footfall")[0]["v"] == 2
    assert influxdb.proxy.writes == 2


def test_two_servers_of_a_kind_run_side_by_side(make_mosquitto):
    brokers = [make_mosquitto() for _ in range(2)]
    assert len({broker.port for broker in brokers}) == 2
    assert all(broker.running for broker in brokers)
