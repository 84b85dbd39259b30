"""The gateway's settings: one TOML file in, one frozen `Settings` out. Read once, by the command line, at the start.

The structs below are the list of all settings: name, type, limits, default, and the words that an error uses for what
it expected. `footfall.example.toml` explains each of them; a test compares the two.

Paths in the file are relative to the folder of the file. Passwords and tokens are never in the file itself: the file
names another file, which is read into a `Secret`.
"""

import datetime as dt
import ssl
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

from footfall_gateway import places
from footfall_gateway.places import DOOR, PASSERS_BY, Placement, Places, Question, local_midnight_ms
from footfall_gateway.toml_reader import (
    Key,
    Secret,
    SettingsError,
    TomlReader,
    certificate_file,
    dotted,
    http_address,
    readable_file,
    reason,
    secret_file,
    timezone_name,
)

__all__ = [
    "ALWAYS",
    "Door",
    "GatewaySettings",
    "InfluxSettings",
    "MqttSettings",
    "NodeBarrier",
    "NodeSettings",
    "QuestionName",
    "Secret",
    "SerialSettings",
    "Settings",
    "SettingsError",
    "Site",
    "Terminal",
    "load_settings",
    "places_of",
]

ALWAYS = dt.date(1970, 1, 1)  # a door without `valid_from` has been there since before anything was counted
MQTT_PORT, MQTT_TLS_PORT = 1883, 8883

_Id = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$",
        description="a short name of small letters, digits, - and _ (at most 32)",
    ),
]
_Node = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9-]{1,32}$",
        description="a node's name of small letters, digits and - (at most 32), such as ff-3c71bf4a",
    ),
]
_Text = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]+$",
        max_length=200,
        description="a text of 1 to 200 characters on one line",
    ),
]
_Factor = Annotated[float, Meta(ge=0.1, le=10.0, description="a factor from 0.1 to 10")]
_Date = Annotated[dt.date, Meta(description="a date such as 2026-01-01, without quotes and time")]
_Certificate = Annotated[Path, Meta(description="the path of a PEM file"), certificate_file]
_SecretFile = Annotated[Path, Meta(description="the path of a file that holds the secret"), secret_file]


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; the names of its fields are the keys."""


class GatewaySettings(_Table, frozen=True):
    """`[gateway]`"""

    name: _Id = "footfall"
    data: Annotated[Path, Meta(description="the path of a folder")] = Path("var/footfall")
    grace_s: Annotated[int, Meta(ge=0, le=86_400, description="seconds, from 0 to 86400")] = 600
    retention_days: Annotated[int, Meta(ge=1, le=36_500, description="days, from 1 to 36500")] = 90
    log_level: Annotated[
        str, Meta(pattern="^(debug|info|warning|error)$", description='"debug", "info", "warning" or "error"')
    ] = "info"


class MqttSettings(_Table, frozen=True):
    """`[mqtt]`: the broker. Without this table the gateway listens to serial ports only."""

    host: Annotated[
        str,
        Meta(
            # every label 1 to 63 characters: Python's resolver raises on others; the second form is IPv6
            pattern=r"^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$|^[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9]+)?$",
            max_length=253,
            description="the name or address of the broker, without mqtt:// and port",
        ),
    ]
    port: Annotated[int, Meta(ge=1, le=65535, description="a port number from 1 to 65535")] | None = None
    client_id: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_.-]{1,64}$",
            description="a name of letters, digits, -, _ and . (at most 64)",
        ),
    ] = "footfall-gateway"
    keepalive_s: Annotated[int, Meta(ge=5, le=3600, description="seconds, from 5 to 3600")] = 30
    username: _Text | None = None
    password_file: _SecretFile | None = None
    tls: Annotated[bool, Meta(description="true or false")] = False
    ca_file: _Certificate | None = None
    cert_file: _Certificate | None = None
    key_file: Annotated[Path, Meta(description="the path of a PEM file"), readable_file] | None = None

    @property
    def uses_tls(self) -> bool:
        return self.tls or self.ca_file is not None or self.cert_file is not None

    @property
    def effective_port(self) -> int:
        return self.port or (MQTT_TLS_PORT if self.uses_tls else MQTT_PORT)


class SerialSettings(_Table, frozen=True):
    """`[[serial]]`: a node on a USB cable."""

    port: _Text
    node: _Node
    baud: Annotated[int, Meta(ge=1200, le=4_000_000, description="a speed from 1200 to 4000000")] = 115_200


class InfluxSettings(_Table, frozen=True):
    """`[influxdb]`: where the results go. Without this table they stay in the ledger (embedded mode)."""

    url: Annotated[
        str, Meta(max_length=2000, description="an address such as http://127.0.0.1:8086"), http_address
    ]
    bucket: _Text
    org: _Text = "-"
    token_file: _SecretFile | None = None
    ca_file: _Certificate | None = None
    timeout_s: Annotated[int, Meta(ge=1, le=300, description="seconds, from 1 to 300")] = 10
    batch_points: Annotated[int, Meta(ge=1, le=10_000, description="points, from 1 to 10000")] = 1000


class Door(_Table, frozen=True):
    """`[[site.door]]`: one barrier of a node, watched from local midnight of `valid_from` on, until a later entry
    for the same door, or for the same node and barrier, takes over. Two barriers with the same door and day stand
    side by side in a wide door. With the role "passers-by" it counts who walks past outside, and is no door."""

    id: _Id
    node: _Node
    barrier: Annotated[int, Meta(ge=0, le=7, description="the barrier's number on its node, from 0 to 7")] = 0
    role: Annotated[str, Meta(pattern="^(door|passers-by)$", description='"door" or "passers-by"')] = DOOR
    valid_from: _Date = ALWAYS
    calibrate_in: _Factor = 1.0
    calibrate_out: _Factor = 1.0


class Terminal(_Table, frozen=True):
    """`[[site.terminal]]`: a node with feedback buttons; its presses count for this site."""

    id: _Id
    node: _Node
    answers: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...],
        Meta(min_length=1, max_length=8, description="a list of 1 to 8 short texts, the first button first"),
    ] = ("good", "fair", "poor")
    valid_from: _Date = ALWAYS


class Site(_Table, frozen=True):
    """`[[site]]`"""

    id: _Id
    timezone: Annotated[str, Meta(description='a time zone such as "Europe/Berlin"'), timezone_name]
    name: _Text | None = None
    capacity: Annotated[int, Meta(ge=1, le=1_000_000, description="persons, from 1 to 1000000")] | None = None
    doors: tuple[Door, ...] = field(name="door", default=())
    terminals: tuple[Terminal, ...] = field(name="terminal", default=())

    @property
    def title(self) -> str:
        return self.name or self.id


class QuestionName(_Table, frozen=True):
    """`[[question]]`: its number stands in every vote, its id in the charts. With `asked_from`, the nodes are told to ask it
    from local midnight of that day on, until another one takes over: those at `asked_at` (ids of terminals or
    names of nodes), or every terminal."""

    revision: Annotated[int, Meta(ge=0, le=1_000_000_000, description="the question's number, 0 or more")]
    id: _Id
    asked_from: _Date | None = None
    asked_at: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=32)], ...],
        Meta(max_length=100, description="a list of terminals' ids or nodes' names"),
    ] = ()


class NodeBarrier(_Table, frozen=True):
    """`[[node.barrier]]`: limits of one light barrier, as the node takes them (docs/wire.md)."""

    barrier: Annotated[int, Meta(ge=0, le=3, description="the barrier's number on its node, from 0 to 3")] = 0
    glitch_ms: Annotated[int, Meta(ge=0, le=1000, description="milliseconds, from 0 to 1000")] | None = None
    min_block_ms: Annotated[int, Meta(ge=0, le=5000, description="milliseconds, from 0 to 5000")] | None = (
        None
    )
    blocked_after_ms: (
        Annotated[int, Meta(ge=1000, le=3_600_000, description="milliseconds, from 1000 to 3600000")] | None
    ) = None


class NodeSettings(_Table, frozen=True):
    """`[[node]]`: what the gateway configures at this node. What is left out stays as the node has it."""

    node: _Node
    lockout_ms: Annotated[int, Meta(ge=0, le=60_000, description="milliseconds, from 0 to 60000")] | None = (
        None
    )
    debounce_ms: Annotated[int, Meta(ge=1, le=1000, description="milliseconds, from 1 to 1000")] | None = None
    barriers: tuple[NodeBarrier, ...] = field(name="barrier", default=())


class Document(_Table, frozen=True):
    """The whole file as it is written."""

    gateway: GatewaySettings = GatewaySettings()
    mqtt: MqttSettings | None = None
    serial: tuple[SerialSettings, ...] = ()
    influxdb: InfluxSettings | None = None
    sites: tuple[Site, ...] = field(name="site", default=())
    questions: tuple[QuestionName, ...] = field(name="question", default=())
    nodes: tuple[NodeSettings, ...] = field(name="node", default=())


class Settings(Document, frozen=True):
    """What the gateway runs on. Paths are absolute, secrets are read; `warnings` are lines for the log."""

    path: Path = Path()
    mqtt_password: Secret | None = None
    influx_token: Secret | None = None
    warnings: tuple[str, ...] = ()


# What people write, and what the key is called.
_SYNONYMS = {
    "broker": "host",
    "cafile": "ca_file",
    "database": "bucket",
    "db": "bucket",
    "device": "port",
    "influx": "influxdb",
    "password": "password_file",
    "server": "host",
    "token": "token_file",
    "tz": "timezone",
    "user": "username",
}


def load_settings(path: Path | str) -> Settings:
    """Reads and checks the file at `path`. Raises `SettingsError` with every problem that was found."""
    reader = TomlReader(Path(path), _SYNONYMS)
    # A file without [gateway] still gets its defaults, with the paths made absolute.
    document = reader.table({"gateway": {}} | reader.raw, Document)
    if isinstance(document, Document):  # what one value alone cannot show
        _check_sources(document, reader)
        _check_doors(document, reader)
        _check_nodes(document, reader)
    reader.raise_problems()
    assert isinstance(document, Document)
    return Settings(
        gateway=document.gateway,
        mqtt=document.mqtt,
        serial=document.serial,
        influxdb=document.influxdb,
        sites=document.sites,
        questions=document.questions,
        nodes=document.nodes,
        path=reader.path.absolute(),
        mqtt_password=reader.secrets.get(("mqtt", "password_file")),
        influx_token=reader.secrets.get(("influxdb", "token_file")),
        warnings=tuple(reader.warnings),
    )


def places_of(settings: Settings) -> Places:
    """The sites and doors in the words of the ledger: placements with moments in UTC."""
    placements = []
    for site in settings.sites:
        placements += [
            Placement(
                site.id,
                door.id,
                door.node,
                door.barrier,
                local_midnight_ms(door.valid_from, site.timezone),
                door.calibrate_in,
                door.calibrate_out,
                role=door.role,
            )
            for door in site.doors
        ]
        placements += [
            Placement(
                site.id,
                terminal.id,
                terminal.node,
                None,
                local_midnight_ms(terminal.valid_from, site.timezone),
                answers=terminal.answers,
            )
            for terminal in site.terminals
        ]
    return Places(
        (places.Site(site.id, site.title, site.timezone, site.capacity) for site in settings.sites),
        placements,
        (Question(question.revision, question.id) for question in settings.questions),
    )


def _check_sources(document: Document, reader: TomlReader) -> None:
    mqtt = document.mqtt
    if mqtt is None and not document.serial:
        reader.problem((), "no source of records, expected [mqtt] or at least one [[serial]]")
    seen = _Seen(reader)
    for i, serial in enumerate(document.serial):
        seen.claim(serial.port, ("serial", i, "port"), f'found "{serial.port}"', "another port")
    if mqtt is None:
        return
    if mqtt.password_file is not None and mqtt.username is None:
        reader.problem(("mqtt", "username"), "missing, expected the name that belongs to password_file")
    if mqtt.key_file is not None and mqtt.cert_file is None:
        reader.problem(("mqtt", "cert_file"), "missing, expected the certificate that belongs to key_file")
    elif mqtt.cert_file is not None:
        _check_key_pair(mqtt.cert_file, mqtt.key_file, reader)


def _check_key_pair(cert_file: Path, key_file: Path | None, reader: TomlReader) -> None:
    key: Key = ("mqtt", "key_file" if key_file else "cert_file")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Without this answer OpenSSL would ask at the terminal for an encrypted key; a service has none.
        context.load_cert_chain(cert_file, key_file, password=lambda: "")
    except (ssl.SSLError, ValueError):
        reader.problem(
            key,
            f"{key_file or cert_file} does not fit {cert_file}, expected its private key, PEM, without a password",
        )
    except OSError as error:
        reader.problem(key, f"{key_file or cert_file} cannot be read: {reason(error)}")


def _check_doors(document: Document, reader: TomlReader) -> None:
    """A barrier is one door's at a time: a second entry for it needs a later `valid_from`. So are a node's buttons."""
    seen = _Seen(reader)
    for i, question in enumerate(document.questions):
        seen.claim(
            question.revision, ("question", i, "revision"), f"found {question.revision}", "another revision"
        )
    for i, site in enumerate(document.sites):
        seen.claim(site.id, ("site", i, "id"), f'found "{site.id}"', "another id")
        for j, door in enumerate(site.doors):
            seen.claim(
                (door.node, door.barrier, door.valid_from),
                ("site", i, "door", j, "barrier" if door.barrier else "node"),
                f'found barrier {door.barrier} of node "{door.node}"',
                "another barrier or node, or a later valid_from where the node moved",
            )
            for factor in ("calibrate_in", "calibrate_out"):
                if door.role == PASSERS_BY and getattr(door, factor) != 1.0:
                    key = ("site", i, "door", j, factor)
                    reader.problem(
                        key, "found a factor for passers-by, expected none: they are not calibrated"
                    )
        for j, terminal in enumerate(site.terminals):
            seen.claim(
                (terminal.node, "buttons", terminal.valid_from),
                ("site", i, "terminal", j, "node"),
                f'found the buttons of node "{terminal.node}"',
                "another node, or a later valid_from where it moved",
            )


def _check_nodes(document: Document, reader: TomlReader) -> None:
    """A node and a barrier are configured once; of two questions it is clear which one a terminal asks."""
    seen = _Seen(reader)
    terminals = {terminal.id for site in document.sites for terminal in site.terminals}
    nodes = {door.node for site in document.sites for door in site.doors}
    nodes |= {terminal.node for site in document.sites for terminal in site.terminals}
    for i, node in enumerate(document.nodes):
        if node.node not in nodes:
            known = ", ".join(sorted(nodes)) or "none yet"
            reader.problem(
                ("node", i, "node"),
                f'found "{node.node}", expected a node that a door or terminal names ({known})',
            )
        seen.claim(node.node, ("node", i, "node"), f'found "{node.node}"', "one [[node]] for each node")
        for j, barrier in enumerate(node.barriers):
            key = ("node", i, "barrier", j, "barrier")
            expected = "one [[node.barrier]] for each barrier"
            seen.claim((node.node, barrier.barrier), key, f"found barrier {barrier.barrier}", expected)
    for i, question in enumerate(document.questions):
        for name in question.asked_at:
            if name not in terminals | nodes:
                reader.problem(
                    ("question", i, "asked_at"),
                    f'found "{name}", expected the id of a [[site.terminal]] or the name of a node',
                )
        if question.asked_from is not None and not question.asked_at and not terminals:
            reader.problem(
                ("question", i, "asked_at"),
                "missing, expected the nodes that ask it: there is no [[site.terminal]]",
            )
        if question.asked_at and question.asked_from is None:
            reader.problem(
                ("question", i, "asked_from"), "missing, expected the day from which on it is asked"
            )
        for place in question.asked_at or ("every terminal",):
            if question.asked_from is not None:
                seen.claim(
                    ("question", question.asked_from, place),
                    ("question", i, "asked_from"),
                    f"found a question for {place} from {question.asked_from} on",
                    "another day, or another place in asked_at",
                )


class _Seen:
    """Who used something first, so that the second use can name it."""

    def __init__(self, reader: TomlReader) -> None:
        self._reader = reader
        self._first: dict[object, Key] = {}

    def claim(self, thing: object, key: Key, found: str, expected: str) -> None:
        first = self._first.setdefault(thing, key)
        if first != key:
            self._reader.problem(key, f"{found} a second time (see {dotted(first)}), expected {expected}")
