"""The settings file: what is accepted, and that every mistake is one line with file, line, key, found and expected."""

import datetime as dt
import random
import re
import tomllib
import typing
from pathlib import Path

import msgspec
import pytest
import trustme

from footfall_gateway import settings as module
from footfall_gateway.settings import ALWAYS, Settings, SettingsError, load_settings, places_of

EXAMPLE = Path(__file__).parents[2] / "gateway" / "footfall.example.toml"
SMALLEST = """\
[mqtt]
host = "127.0.0.1"
"""
SITE = """\
[[site]]
id = "lab"
timezone = "Europe/Berlin"
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "footfall.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def problems(path: Path) -> list[str]:
    """The errors of this file, without the folder; fails the test if there are none."""
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert all("\n" not in line for line in caught.value.problems)
    return [line.replace(f"{path.parent}/", "") for line in caught.value.problems]


def test_the_smallest_file_has_every_default(write, tmp_path):
    settings = load_settings(write(SMALLEST))
    assert settings.mqtt.host == "127.0.0.1"
    assert (settings.mqtt.effective_port, settings.mqtt.uses_tls) == (1883, False)
    assert settings.gateway.data == tmp_path / "var/footfall"
    assert (settings.gateway.grace_s, settings.gateway.retention_days) == (600, 90)
    assert settings.influxdb is None
    assert settings.sites == ()
    assert settings.warnings == ()


def test_the_file_of_the_design_is_understood(write, tmp_path):
    (tmp_path / "influx.token").write_text("secret-token\n")
    (tmp_path / "influx.token").chmod(0o600)
    settings = load_settings(
        write("""\
[gateway]
data = "var/footfall"
[mqtt]
host = "127.0.0.1"
[influxdb]
url = "http://127.0.0.1:8086"
org = "town"
bucket = "footfall"
token_file = "influx.token"
[[site]]
id = "lab"
name = "Stadtlabor"
timezone = "Europe/Berlin"
capacity = 60
[[site.door]]
id = "main"
node = "ff-3c71bf4a"
barrier = 0
valid_from = 2026-01-01
""")
    )
    assert settings.influxdb.org == "town"
    assert settings.influx_token.reveal() == "secret-token"
    (site,) = settings.sites
    assert (site.id, site.title, site.timezone, site.capacity) == ("lab", "Stadtlabor", "Europe/Berlin", 60)
    (door,) = site.doors
    assert (door.id, door.node, door.barrier, door.valid_from) == (
        "main",
        "ff-3c71bf4a",
        0,
        dt.date(2026, 1, 1),
    )
    (placement,) = places_of(settings).placements
    assert placement.valid_from_ms == 1767222000000  # 2025-12-31T23:00Z, midnight in Berlin


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[mqtt]\nhost = "b"\nprot = 1\n',
            'footfall.toml:3: mqtt.prot: unknown key, did you mean "port"?',
        ),
        (
            '[mqtt]\nhost = "b"\nuser = "x"\n',
            'footfall.toml:3: mqtt.user: unknown key, did you mean "username"?',
        ),
        (
            '[mqtt]\nhost = "b"\n[influx]\nurl = "http://x"\n',
            'footfall.toml:3: influx: unknown key, did you mean "influxdb"?',
        ),
        (
            '[mqtt]\nhost = "b"\nxyzzy = 1\n',
            (
                "footfall.toml:3: mqtt.xyzzy: unknown key, expected one of: host, port, client_id, keepalive_s, "
                "username, password_file, tls, ca_file, cert_file, key_file"
            ),
        ),
        (
            "[mqtt]\n",
            "footfall.toml:1: mqtt.host: missing, expected the name or address of the broker, without mqtt:// and port",
        ),
        (
            '[mqtt]\nhost = "b"\nport = 99999\n',
            "footfall.toml:3: mqtt.port: found 99999, expected a port number from 1 to 65535",
        ),
        (
            '[mqtt]\nhost = "b"\nport = "1883"\n',
            'footfall.toml:3: mqtt.port: found "1883", expected a port number from 1 to 65535',
        ),
        (
            '[mqtt]\nhost = "b"\nport = true\n',
            "footfall.toml:3: mqtt.port: found true, expected a port number from 1 to 65535",
        ),
        (
            '[mqtt]\nhost = "mqtt://b:1883"\n',
            (
                'footfall.toml:2: mqtt.host: found "mqtt://b:1883", expected the name or address of the broker, '
                "without mqtt:// and port"
            ),
        ),
        (
            '[mqtt]\nhost = "a..b"\n',
            (
                'footfall.toml:2: mqtt.host: found "a..b", expected the name or address of the broker, without '
                "mqtt:// and port"
            ),
        ),
        ("mqtt = 3\n", "footfall.toml:1: mqtt: found 3, expected a table [mqtt]"),
        (
            '[mqtt]\nhost = "b"\n[site]\nid = "lab"\n',
            "footfall.toml:3: site: found a table, expected [[site]] with double brackets",
        ),
        (
            SMALLEST + SITE + "capacity = 0\n",
            "footfall.toml:6: site[0].capacity: found 0, expected persons, from 1 to 1000000",
        ),
        (
            SMALLEST + SITE.replace("Berlin", "Berln"),
            (
                'footfall.toml:5: site[0].timezone: found "Europe/Berln", expected a time zone such as "Europe/Berlin"'
                ', did you mean "Europe/Berlin"?'
            ),
        ),
        (
            SMALLEST + SITE.replace("Europe/Berlin", "../../etc/passwd"),
            (
                'footfall.toml:5: site[0].timezone: found "../../etc/passwd", expected a time zone such as '
                '"Europe/Berlin"'
            ),
        ),
        (
            SMALLEST + SITE + '[[site.door]]\nid = "main"\nnode = "FF_1"\n',
            (
                'footfall.toml:8: site[0].door[0].node: found "FF_1", expected a node\'s name of small letters, digits '
                "and - (at most 32), such as ff-3c71bf4a"
            ),
        ),
        (
            SMALLEST + SITE + '[[site.door]]\nid = "main"\nnode = "a"\nvalid_from = "2026-01-01"\n',
            (
                'footfall.toml:9: site[0].door[0].valid_from: found "2026-01-01", expected a date such as 2026-01-01, '
                "without quotes and time"
            ),
        ),
        (
            SMALLEST + SITE + '[[site.door]]\nid = "main"\nnode = "a"\nvalid_from = 2026-01-01T08:00:00\n',
            (
                "footfall.toml:9: site[0].door[0].valid_from: found 2026-01-01T08:00:00, expected a date such as "
                "2026-01-01, without quotes and time"
            ),
        ),
        (
            SMALLEST + SITE + '[[site.door]]\nid = "main"\n',
            (
                "footfall.toml:6: site[0].door[0].node: missing, expected a node's name of small letters, digits and "
                "- (at most 32), such as ff-3c71bf4a"
            ),
        ),
        (
            SMALLEST + '[influxdb]\nurl = "127.0.0.1:8086"\nbucket = "b"\n',
            (
                'footfall.toml:4: influxdb.url: found "127.0.0.1:8086", expected an address such as '
                "http://127.0.0.1:8086"
            ),
        ),
        (
            SMALLEST + '[influxdb]\nurl = "http://joe:pw@x"\nbucket = "b"\n',
            (
                "footfall.toml:4: influxdb.url: found a user name or password in it, expected an address such as "
                "http://127.0.0.1:8086 (and those in token_file)"
            ),
        ),
        (
            SMALLEST + "[gateway]\nlog_level = 'loud'\n",
            'footfall.toml:4: gateway.log_level: found "loud", expected "debug", "info", "warning" or "error"',
        ),
        (
            SMALLEST + "[gateway]\ngrace_s = 99999999999999999999999\n",
            "footfall.toml:4: gateway.grace_s: found 99999999999999999999999, expected seconds, from 0 to 86400",
        ),
        (
            SMALLEST + "[gateway]\ndata = ''\n",
            'footfall.toml:4: gateway.data: found "", expected the path of a folder',
        ),
        ("[gateway]\n", "footfall.toml: no source of records, expected [mqtt] or at least one [[serial]]"),
        (
            '[mqtt]\nhost = "b"\nhost = "c"\n',
            "footfall.toml:3: not valid TOML: Cannot overwrite a value (column 11)",
        ),
        ("[mqtt]\nhost = b\n", "footfall.toml:2: not valid TOML: Invalid value (column 8)"),
        (b"[mqtt]\nhost = 'caf\xe9'\n", "footfall.toml:2: not UTF-8 text, expected a file saved as UTF-8"),
    ],
)
def test_a_mistake_is_one_line_that_says_where_what_and_what_instead(write, text, expected):
    assert problems(write(text)) == [expected]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(write):
    found = problems(
        write(
            '[gateway]\nnme = "x"\n[mqtt]\nhost = 7\n[[site]]\nid = "lab"\ntimezone = "Nowhere"\n'
            '[[site.door]]\nid = "main"\nnode = "a"\nbarrier = -1\n[[site]]\nid = "Lab!"\ntimezone = "UTC"\n'
        )
    )
    assert [re.match(r"footfall\.toml:(\d+): ([^:]+):", line).groups() for line in found] == [
        ("2", "gateway.nme"),
        ("4", "mqtt.host"),
        ("7", "site[0].timezone"),
        ("11", "site[0].door[0].barrier"),
        ("13", "site[1].id"),
    ]


def test_a_value_with_control_characters_or_of_great_length_is_shown_short_and_harmless(write):
    (line,) = problems(write('[mqtt]\nhost = "\\u001b[31m' + "x" * 5000 + '"\n'))
    assert "\x1b" not in line
    assert len(line) < 250


@pytest.mark.parametrize(
    ("doors", "expected"),
    [
        (
            [("main", "a", 0, None), ("side", "a", 0, None)],
            (
                'site[0].door[1].node: found barrier 0 of node "a" a second time (see site[0].door[0].node), expected '
                "another barrier or node, or a later valid_from where the node moved"
            ),
        ),
        (
            [("main", "a", 1, "2026-01-01"), ("side", "a", 1, "2026-01-01")],
            (
                'site[0].door[1].barrier: found barrier 1 of node "a" a second time (see site[0].door[0].barrier), '
                "expected another barrier or node, or a later valid_from where the node moved"
            ),
        ),
    ],
)
def test_one_barrier_cannot_stand_at_two_doors_from_the_same_day(write, doors, expected):
    (line,) = problems(write(SMALLEST + SITE + door_tables(doors)))
    assert line.split(": ", 1)[1] == expected


@pytest.mark.parametrize(
    "doors",
    [
        [("main", "a", 0, None), ("main", "b", 0, "2026-03-01")],  # a new node at the same door
        [("main", "a", 0, None), ("side", "a", 0, "2026-03-01")],  # the node moved
        [("main", "a", 0, None), ("main", "a", 1, None)],  # a wide door
    ],
    ids=["new node", "moved", "wide door"],
)
def test_doors_may_change_hands_and_stand_side_by_side(write, doors):
    settings = load_settings(write(SMALLEST + SITE + door_tables(doors)))
    assert [(door.id, door.node, door.barrier) for door in settings.sites[0].doors] == [d[:3] for d in doors]
    places_of(settings)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('role = "passers"', 'found "passers", expected "door" or "passers-by"'),
        (
            'role = "passers-by"\ncalibrate_in = 1.2',
            "found a factor for passers-by, expected none: they are not calibrated",
        ),
    ],
)
def test_a_role_is_one_of_two_and_people_outside_are_not_calibrated(write, line, expected):
    (problem,) = problems(write(SMALLEST + SITE + '[[site.door]]\nid = "x"\nnode = "a"\n' + line + "\n"))
    assert problem.split(": ", 2)[2] == expected


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        (
            '[[node]]\nnode = "b"\n',
            'node[0].node: found "b", expected a node that a door or terminal names (a)',
        ),
        (
            '[[node]]\nnode = "a"\n[[node]]\nnode = "a"\n',
            'node[1].node: found "a" a second time (see node[0].node), expected one [[node]] for each node',
        ),
        (
            '[[node]]\nnode = "a"\n[[node.barrier]]\n[[node.barrier]]\n',
            ("node[0].barrier[1].barrier: found barrier 0 a second time (see node[0].barrier[0].barrier), expected one "
            "[[node.barrier]] for each barrier"),
        ),
        (
            '[[node]]\nnode = "a"\n[[node.barrier]]\nglitch_ms = 1001\n',
            "node[0].barrier[0].glitch_ms: found 1001, expected milliseconds, from 0 to 1000",
        ),
        (
            '[[question]]\nrevision = 1\nid = "x"\nasked_from = 2026-01-01\n',
            "question[0].asked_at: missing, expected the nodes that ask it: there is no [[site.terminal]]",
        ),
        (
            '[[question]]\nrevision = 1\nid = "x"\nasked_at = ["a"]\n',
            "question[0].asked_from: missing, expected the day from which on it is asked",
        ),
        (
            '[[question]]\nrevision = 1\nid = "x"\nasked_from = 2026-01-01\nasked_at = ["main"]\n',
            'question[0].asked_at: found "main", expected the id of a [[site.terminal]] or the name of a node',
        ),
        (
            "".join(
                f'[[question]]\nrevision = {n}\nid = "x"\nasked_from = 2026-01-01\nasked_at = ["a"]\n' for n in (1, 2)
            ),
            ("question[1].asked_from: found a question for a from 2026-01-01 on a second time (see question[0].asked_from), "
            "expected another day, or another place in asked_at"),
        ),
    ],
)  # fmt: skip
def test_what_a_node_is_to_be_told_must_be_clear(write, tables, expected):
    door = '[[site.door]]\nid = "main"\nnode = "a"\n'
    (problem,) = problems(write(SMALLEST + SITE + door + tables))
    assert problem.split(": ", 1)[1] == expected


def door_tables(doors) -> str:
    return "".join(
        f'[[site.door]]\nid = "{door}"\nnode = "{node}"\nbarrier = {barrier}\n'
        + (f"valid_from = {day}\n" if day else "")
        for door, node, barrier, day in doors
    )


def test_two_sites_or_two_cables_cannot_share_a_name(write):
    cables = '[[serial]]\nport = "/dev/x"\nnode = "a"\n[[serial]]\nport = "/dev/x"\nnode = "b"\n'
    found = problems(write(cables + SITE + SITE))
    assert found == [
        'footfall.toml:5: serial[1].port: found "/dev/x" a second time (see serial[0].port), expected another port',
        'footfall.toml:11: site[1].id: found "lab" a second time (see site[0].id), expected another id',
    ]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(write):
    settings = load_settings(write(b"\xef\xbb\xbf" + SMALLEST.replace("\n", "\r\n").encode()))
    assert settings.mqtt.host == "127.0.0.1"


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_file_that_is_not_there_is_one_line(tmp_path, kind):
    path = tmp_path / "footfall.toml"
    if kind == "folder":
        path.mkdir()
    (line,) = problems(path)
    assert line.startswith("footfall.toml: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: no such file or directory"),
        (b"", "is empty, expected the secret as its only line"),
        (b" \r\n\n", "is empty, expected the secret as its only line"),
        (b"one\ntwo\n", "does not look like a secret, expected one line of text"),
        (b"\xff\xfe\x00", "does not look like a secret, expected one line of text"),
        (b"x" * 20_000, "does not look like a secret, expected one line of text"),
    ],
)
@pytest.mark.parametrize("key", ["mqtt.password_file", "influxdb.token_file"])
def test_a_bad_secret_file_is_an_error_that_names_it(write, tmp_path, key, content, words):
    secret = tmp_path / "the.secret"
    if content is not None:
        secret.write_bytes(content)
        secret.chmod(0o600)
    if key == "mqtt.password_file":
        text = SMALLEST + 'username = "gw"\npassword_file = "the.secret"\n'
    else:
        text = SMALLEST + '[influxdb]\nurl = "http://x"\nbucket = "b"\ntoken_file = "the.secret"\n'
    (line,) = problems(write(text))
    assert line.split(": ", 1)[1] == f"{key}: the.secret {words}"


def test_a_secret_keeps_inner_characters_and_loses_only_the_line_end(write, tmp_path):
    (tmp_path / "pw").write_bytes(b"\xef\xbb\xbfp@ss wort\xc3\xa4 #1\r\n")
    (tmp_path / "pw").chmod(0o600)
    settings = load_settings(write(SMALLEST + 'username = "gw"\npassword_file = "pw"\n'))
    assert settings.mqtt_password.reveal() == "p@ss wortä #1"
    assert settings.warnings == ()


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_secret_that_others_can_read_gives_a_warning_without_the_secret(write, tmp_path, mode, warned):
    (tmp_path / "pw").write_text("hunter2")
    (tmp_path / "pw").chmod(mode)
    settings = load_settings(write(SMALLEST + 'username = "gw"\npassword_file = "pw"\n'))
    assert (len(settings.warnings) == 1) is warned
    assert all("pw" in line and f"{mode:03o}" in line for line in settings.warnings)
    assert "hunter2" not in repr(settings)


def test_a_password_without_a_user_name_and_a_key_without_a_certificate_are_errors(write, tmp_path):
    for name in ("pw", "key"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o600)
    found = problems(write(SMALLEST + 'password_file = "pw"\nkey_file = "key"\n'))
    assert found == [
        "footfall.toml:1: mqtt.cert_file: missing, expected the certificate that belongs to key_file",
        "footfall.toml:1: mqtt.username: missing, expected the name that belongs to password_file",
    ]


def test_certificates_are_looked_into_not_only_found(write, tmp_path, ca):
    other = trustme.CA().issue_cert("x")
    own = ca.issue_cert("gateway")
    (tmp_path / "ca.pem").write_bytes(ca.cert_pem.bytes())
    (tmp_path / "own.pem").write_bytes(own.cert_chain_pems[0].bytes())
    (tmp_path / "own.key").write_bytes(own.private_key_pem.bytes())
    (tmp_path / "other.key").write_bytes(other.private_key_pem.bytes())
    good = SMALLEST + 'ca_file = "ca.pem"\ncert_file = "own.pem"\nkey_file = "own.key"\n'
    settings = load_settings(write(good))
    assert (settings.mqtt.uses_tls, settings.mqtt.effective_port) == (True, 8883)
    (line,) = problems(write(good.replace("own.key", "other.key")))
    assert line.startswith("footfall.toml:5: mqtt.key_file: other.key does not fit ")
    (line,) = problems(write(good.replace('"ca.pem"', '"own.key"')))
    assert line.startswith("footfall.toml:3: mqtt.ca_file: own.key holds no certificate, expected PEM text")
    (line,) = problems(write(good.replace('"ca.pem"', '"nope.pem"')))
    assert line == "footfall.toml:3: mqtt.ca_file: nope.pem cannot be read: no such file or directory"


# ------------------------------------------------------------------------------------------------- the example file


def uncommented(text: str) -> str:
    """The example with every commented setting switched on: `# key = value` and `# [[table]]`."""
    return re.sub(r"(?m)^# (?=[a-z_]+ = |\[\[)", "", text)


def test_the_example_is_valid_and_shows_the_defaults(tmp_path):
    settings = load_settings(EXAMPLE)
    defaults = msgspec.structs.asdict(module.GatewaySettings(data=settings.gateway.data))
    assert msgspec.structs.asdict(settings.gateway) == defaults
    assert settings.gateway.data == EXAMPLE.parent / "var/footfall"
    assert settings.mqtt == module.MqttSettings(host="127.0.0.1")
    influx = settings.influxdb
    assert influx == module.InfluxSettings(url=influx.url, bucket=influx.bucket)
    door = settings.sites[0].doors[0]
    assert door == module.Door(id=door.id, node=door.node, valid_from=door.valid_from)
    terminal = settings.sites[0].terminals[0]
    assert terminal == module.Terminal(id=terminal.id, node=terminal.node, valid_from=terminal.valid_from)


def test_the_example_with_everything_switched_on_is_valid_too(tmp_path, ca):
    own = ca.issue_cert("gateway")
    contents = {
        "mqtt.password": b"pw",
        "influx.token": b"token",
        "ca.pem": ca.cert_pem.bytes(),
        "gateway.pem": own.cert_chain_pems[0].bytes(),
        "gateway.key": own.private_key_pem.bytes(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    path = tmp_path / "footfall.toml"
    path.write_text(uncommented(EXAMPLE.read_text()))
    settings = load_settings(path)
    assert settings.mqtt.username == "gateway"
    assert settings.serial[0].baud == 115200
    assert settings.questions[0].revision == 1


def settings_keys(kind: type, table: str = "") -> list[str]:
    """Every key there is, from the structs: `mqtt.host`, `site.door.id`."""
    keys = []
    for info in msgspec.structs.fields(kind):
        name = f"{table}.{info.encode_name}" if table else info.encode_name
        inner = [a for a in all_types(info.type) if isinstance(a, type) and issubclass(a, msgspec.Struct)]
        keys += settings_keys(inner[0], name) if inner else [name]
    return keys


def all_types(annotation) -> list[typing.Any]:
    return [annotation, *(t for a in typing.get_args(annotation) for t in all_types(a))]


def flat_keys(value: object, table: str = "") -> set[str]:
    if isinstance(value, dict):
        return {k for name, v in value.items() for k in flat_keys(v, f"{table}.{name}" if table else name)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {k for item in value for k in flat_keys(item, table)}
    return {table}


def test_every_setting_stands_in_the_example_and_has_a_comment():
    text = EXAMPLE.read_text()
    expected = settings_keys(module.Document)
    assert "site.door.valid_from" in expected
    assert flat_keys(tomllib.loads(uncommented(text))) == set(expected)
    for line in text.splitlines():
        match = re.match(r"(# )?([a-z_]+) = ", line)
        if match and match[2] in ("timezone", "data", "tls", "token_file", "capacity", "grace_s"):
            assert line.count("#") > line.startswith("#"), f"no comment beside {line}"


def test_a_door_without_a_date_was_always_there(write):
    settings = load_settings(write(SMALLEST + SITE + '[[site.door]]\nid = "main"\nnode = "a"\n'))
    assert settings.sites[0].doors[0].valid_from == ALWAYS
    assert isinstance(settings, Settings)


ODD_VALUES = [
    "-1",
    "true",
    '""',
    '"x"',
    "[]",
    "{}",
    "[1,2]",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "1e400",
    "nan",
    "inf",
    "1_0",
    "99999999999999999999999",
    "{a=1}",
    '["a"]',
    "[[1]]",
    "[{}]",
    "07:00:00",
    '"\\u0000"',
    '"a\\nb"',
    '"\\u001b[2J"',
    '"~nobody/x"',
    '"/dev/zero"',
    '"/"',
    '"é"',
    "0x10",
    "'C:\\x'",
]


@pytest.mark.parametrize("seed", range(300))
def test_whatever_stands_in_the_file_the_answer_is_settings_or_lines(tmp_path, seed, ca):
    """The example with some lines spoiled: no other exception, no line break, no control character."""
    rng = random.Random(seed)
    own = ca.issue_cert("gateway")
    (tmp_path / "ca.pem").write_bytes(ca.cert_pem.bytes())
    (tmp_path / "gateway.pem").write_bytes(own.cert_chain_pems[0].bytes())
    (tmp_path / "gateway.key").write_bytes(own.private_key_pem.bytes())
    for name in ("mqtt.password", "influx.token"):
        (tmp_path / name).write_text("secret")
    lines = [line for line in uncommented(EXAMPLE.read_text()).splitlines() if line[:1] not in ("", "#")]
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(lines))
        kind = rng.randrange(5)
        if kind <= 1 and "=" in lines[at]:
            lines[at] = lines[at].partition("=")[0] + "= " + rng.choice(ODD_VALUES)
        elif kind == 2:
            del lines[at]
        elif kind == 3:
            lines.insert(at, rng.choice([*lines, "x = 1", "[[a]]", '"" = 1', "a.b.c = 1", "mqtt = 3", "["]))
        else:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + rng.choice('\x00\t"=[]#\x7f\u2028é😀') + lines[at][place + 1 :]
    path = tmp_path / "footfall.toml"
    path.write_text("\n".join(lines))
    problems_found: list[str] = []
    try:
        places_of(load_settings(path))
    except SettingsError as error:
        problems_found = error.problems or ["none"]
    for line in problems_found:
        assert line.startswith(f"{path}:")
        assert line.isprintable()
