"""The command line: what is said, to which stream, and with which exit code. No command ever shows a traceback."""

import csv
import importlib.metadata
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
import pytest

from footfall_gateway import cli
from footfall_gateway.accounts import Accounts
from footfall_gateway.commissioning import acceptance
from footfall_gateway.commissioning.acceptance import Acceptance
from footfall_gateway.ingest import Batch
from footfall_gateway.ledger import Ledger
from footfall_gateway.node_book import NodeBook
from footfall_gateway.node_messages import CrashReport, NodeState
from footfall_gateway.settings import load_settings, places_of
from tests.servers import HOST, free_port

LIMIT_S = 60
HOUR_MS = 3_600_000
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z

Footfall = Callable[..., tuple[int, str, str]]


@pytest.fixture
def footfall(capsys) -> Footfall:
    """Runs a command in this process: exit code, standard output, standard error."""

    def footfall(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli._status([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return code, captured.out, captured.err

    return footfall


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "footfall.toml"
    path.write_text(
        f'[mqtt]\nhost = "{HOST}"\nport = {free_port()}\n[gateway]\ndata = "data"\n'
        '[[site]]\nid = "lab"\nname = "Stadtlabor"\ntimezone = "Europe/Berlin"\ncapacity = 60\n'
        '[[site.door]]\nid = "main"\nnode = "ff-1"\n'
    )
    return path


def fill(config: Path, hours: int = 3, *, hole: bool = False) -> None:
    """A ledger as a gateway leaves it: one passage in and one out each hour."""
    settings = load_settings(config)
    records = [(0, "C", START_MS, "gw")]
    for hour in range(hours):
        t_ms = hour * HOUR_MS
        records += [
            (t_ms + 1000, "P", 0, 1, 400),
            (t_ms + 2000, "P", 0, -1, 400),
            (t_ms + HOUR_MS, "A", t_ms, 0, 0),
        ]
    now_ms = START_MS + (hours + 1) * HOUR_MS
    with Ledger.open(settings.gateway.data / "ledger.sqlite") as ledger:
        for at in range(0, len(records), 40):
            batch = Batch("ff-1", "8f3a01c2", 1, 1 + at, tuple(records[at : at + 40]))
            ledger.store([batch], now_ms=now_ms)
        if hole:
            batch = Batch("ff-1", "8f3a01c2", 1, len(records) + 4, ((now_ms, "P", 0, 1, 400),))
            ledger.store([batch], now_ms=now_ms)
        accounts = Accounts(ledger, places_of(settings), publish=False, grace_ms=0)
        while accounts.work(now_ms).more:
            pass


def command(*arguments: str | Path, code: str = "") -> list[str]:
    """The argv of `footfall`, after some Python that changes something inside it."""
    return [
        sys.executable,
        "-c",
        f"import sys\nfrom footfall_gateway import cli\n{code}\ncli.main(sys.argv[1:])",
        *(str(argument) for argument in arguments),
    ]


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


class Running:
    """`footfall run` in a process of its own; its log, line by line."""

    def __init__(self, *arguments: str | Path, code: str = "") -> None:
        self.process = subprocess.Popen(
            command(*arguments, code=code), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        self.lines: list[str] = []

    def wait_for(self, words: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if words in line:
                return line
        pytest.fail(f"ended without {words!r}: {''.join(self.lines)}")

    def end(self, number: int | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=LIMIT_S)
        self.lines += rest.splitlines(keepends=True)
        return self.process.returncode


# -------------------------------------------------------------------------------------------------- help and words


def all_commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def walk(group: click.Group, path: tuple[str, ...]) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            one = group.get_command(context, name)
            assert one is not None
            found.append((*path, name))
            if isinstance(one, click.Group):
                walk(one, (*path, name))

    walk(cli.cli, ())
    return found


def test_the_commands_others_build_on_are_there():
    names = {" ".join(name) for name in all_commands()}
    assert {"run", "config check", "export", "recount", "status"} <= names


@pytest.mark.parametrize("name", all_commands(), ids=" ".join)
def test_every_command_and_option_explains_itself(footfall, name):
    code, out, err = footfall(*name, "--help")
    assert (code, err) == (0, "")
    one: click.Command = cli.cli
    for part in name:
        assert isinstance(one, click.Group)
        one = one.get_command(click.Context(one), part)
    assert one.help
    assert out.startswith(f"Usage: footfall {' '.join(name)}")
    for option in one.params:
        if isinstance(option, click.Option):
            assert option.help or isinstance(option.type, click.Choice), option.name


def test_the_version_is_that_of_the_package(footfall):
    assert footfall("--version") == (0, f"footfall {importlib.metadata.version('footfall')}\n", "")


def test_an_unknown_command_is_wrong_usage(footfall):
    code, out, err = footfall("rum")
    assert (code, out) == (2, "")
    assert "No such command 'rum'" in err


# ----------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize("name", ["run", "status", "config check", "export --hours"])
def test_wrong_settings_are_one_line_each_and_exit_code_2(footfall, tmp_path, name):
    path = tmp_path / "footfall.toml"
    path.write_text('[mqtt]\nhost = "b"\nprot = 1\n[gateway]\nretention_days = 0\n')
    code, out, err = footfall(*name.split(), "--config", path)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f'{path}:3: mqtt.prot: unknown key, did you mean "port"?',
        f"{path}:5: gateway.retention_days: found 0, expected days, from 1 to 36500",
    ]


@pytest.mark.parametrize("name", ["run", "status", "config check", "export --hours"])
def test_a_settings_file_that_is_not_there_is_exit_code_2(footfall, tmp_path, name):
    code, out, err = footfall(*name.split(), "--config", tmp_path / "no.toml")
    assert (code, out) == (2, "")
    assert err == f"{tmp_path}/no.toml: there is no such file; footfall.example.toml shows what to write\n"


@pytest.mark.parametrize("name", ["status", "export --hours"])
def test_no_ledger_yet_is_said_in_one_line(footfall, config, name):
    code, out, err = footfall(*name.split(), "--config", config)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "does not exist yet" in err


def test_an_output_file_that_cannot_be_written_is_one_line(footfall, config, tmp_path):
    fill(config)
    code, out, err = footfall("export", "--hours", "--config", config, "--out", tmp_path / "no" / "hours.csv")
    assert (code, out, err) == (1, "", f"{tmp_path}/no/hours.csv: no such file or directory\n")


def test_the_config_may_come_from_the_environment(footfall, config, monkeypatch):
    monkeypatch.setenv("FOOTFALL_CONFIG", str(config))
    assert footfall("config", "check")[0] == 0


# ---------------------------------------------------------------------------------------------------- config check


def test_config_check_says_what_the_settings_come_to(footfall, config, tmp_path):
    (tmp_path / "influx.token").write_text("very-secret")
    (tmp_path / "influx.token").chmod(0o644)
    with config.open("a") as file:
        file.write(
            '[influxdb]\nurl = "http://db.example:8086"\nbucket = "visits"\ntoken_file = "influx.token"\n'
        )
    code, out, err = footfall("config", "check", "--config", config)
    assert code == 0
    for words in (
        "listens to the broker 127.0.0.1:",
        'sends to InfluxDB http://db.example:8086, org "-", bucket "visits" (with a token)',
        "site lab: Stadtlabor, Europe/Berlin, up to 60 persons",
        "  door main: node ff-1, barrier 0",
    ):
        assert words in out
    assert out.splitlines()[-1] == f"{config}: OK"
    assert err.startswith(
        f"warning: {config}: influxdb.token_file: {tmp_path}/influx.token is open to other users"
    )
    assert "very-secret" not in out + err
    assert not (tmp_path / "data").exists()


def test_config_check_looks_at_the_data_folder(footfall, config, tmp_path):
    (tmp_path / "data").write_text("a file in its place")
    code, _, err = footfall("config", "check", "--config", config)
    assert code == 2
    assert err == (
        f"{config}: gateway.data: {tmp_path}/data is not a folder, expected a folder to keep the ledger in\n"
    )


def test_config_check_tries_to_write_where_the_data_folder_would_be(footfall, config):
    config.write_text(config.read_text().replace('data = "data"', 'data = "/proc/footfall"'))
    code, _, err = footfall("config", "check", "--config", config)
    assert code == 2
    assert err.startswith(
        f"{config}: gateway.data: /proc/footfall does not exist and /proc cannot be written ("
    )


def test_config_check_with_connect_names_what_cannot_be_reached(footfall, config):
    with config.open("a") as file:
        file.write(f'[influxdb]\nurl = "http://{HOST}:{free_port()}"\nbucket = "visits"\n')
        file.write('[[serial]]\nport = "/dev/ttyNONE0"\nnode = "ff-1"\n')
    code, out, err = footfall("config", "check", "--connect", "--config", config)
    assert code == 1
    assert f"{config}: OK" in out
    broker, serial, influx = err.splitlines()
    assert broker.startswith("broker 127.0.0.1:")
    assert "connection refused" in broker
    assert serial == "serial port /dev/ttyNONE0: not there; is the cable plugged in?"
    assert "connection refused; does InfluxDB run" in influx


def test_config_check_with_connect_reaches_real_servers(footfall, config, mosquitto, influxdb):
    influxdb.create_database("visits")
    text = re.sub(r"port = \d+", f"port = {mosquitto.port}", config.read_text())
    config.write_text(text + f'[influxdb]\nurl = "{influxdb.v2_url}"\nbucket = "visits"\n')
    code, out, err = footfall("config", "check", "--connect", "--config", config)
    assert (code, err) == (0, "")
    assert [line.rpartition(": ")[2] for line in out.splitlines()[-2:]] == [
        "reached, lets this gateway in",
        "reached",
    ]
    assert influxdb.query("SHOW MEASUREMENTS", "visits") == []


# --------------------------------------------------------------------------------------------- export and status


def test_export_writes_the_documented_columns(footfall, config, tmp_path):
    fill(config, hours=2)
    expected = (
        "site,door,hour_utc,in,out,covered_s\n"
        "lab,main,2026-01-01T00:00:00Z,1,1,3600\n"
        "lab,main,2026-01-01T01:00:00Z,1,1,3600\n"
    )
    assert footfall("export", "--hours", "--format", "csv", "--config", config) == (0, expected, "")
    out_file = tmp_path / "hours.csv"
    assert footfall("export", "--hours", "--config", config, "--out", out_file) == (0, "", "")
    assert out_file.read_text() == expected
    assert len(list(csv.DictReader(io.StringIO(expected)))) == 2


def test_export_writes_people_outside_apart(footfall, config):
    with config.open("a") as file:
        file.write('[[site.door]]\nid = "street"\nnode = "ff-1"\nbarrier = 1\nrole = "passers-by"\n')
    fill(config, hours=1)
    expected = "site,place,hour_utc,passers_by,covered_s\nlab,street,2026-01-01T00:00:00Z,0,3600\n"
    assert footfall("export", "--passers-by", "--config", config) == (0, expected, "")
    assert footfall("export", "--hours", "--config", config)[1].count("\n") == 2
    _, out, _ = footfall("config", "check", "--config", config)
    assert "  passers-by street: node ff-1, barrier 1\n" in out


@pytest.mark.parametrize("chosen", [[], ["--hours", "--feedback"], ["--hours", "--feedback", "--passers-by"]])
def test_export_wants_exactly_one_table(footfall, config, chosen):
    code, _, err = footfall("export", *chosen, "--config", config)
    assert code == 2
    assert "choose one of --hours, --feedback and --passers-by" in err


def test_export_into_a_pipe_that_closes_ends_quietly(config):
    fill(config, hours=3000)
    with subprocess.Popen(
        command("export", "--hours", "--config", config),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"site,door,hour_utc,in,out,covered_s\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_status_of_a_sound_ledger(footfall, config):
    fill(config)
    code, out, err = footfall("status", "--config", config)
    assert (code, err) == (0, "")
    assert out.startswith(f"10 records of 1 nodes in {config.parent}/data/ledger.sqlite\n")
    assert "ff-1  spool 8f3a01c2  10 records, the last came " in out
    assert "refused: 0\n" in out
    assert "waiting for InfluxDB: 0 points; set aside: 0\n" in out


def test_status_shows_a_hole_and_ends_with_1(footfall, config):
    fill(config, hole=True)
    code, out, _ = footfall("status", "--config", config)
    assert code == 1
    assert "MISSING 3: 11-13" in out


def tell(config: Path, node: str, **told: object) -> None:
    """As if this node had just told a state."""
    with Ledger.open(load_settings(config).gateway.data / "ledger.sqlite") as ledger:
        state = msgspec.convert({"online": True, "fw": "0.2.0", **told}, NodeState)
        with ledger.database.writing() as sql:
            NodeBook(ledger).put_state(sql, node, state, time.time_ns() // 1_000_000, retained=False)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"rev": 1}, "configuration 1 taken"),
        ({"rev": 0}, "configuration 1 not taken yet, the node has 0"),
        ({}, "configuration 1 waits for the node"),
        ({"rev": 0, "config_error": "rev is x\x1b"}, "configuration 1 refused: rev is x\\x1b"),
    ],
)
def test_status_shows_what_a_node_made_of_its_configuration(footfall, config, told, shown):
    fill(config)
    with Ledger.open(load_settings(config).gateway.data / "ledger.sqlite") as ledger:
        NodeBook(ledger).configure("ff-1", '{"lockout_ms":1}', START_MS)
    assert (
        "  ff-1  has not told how it is\n    configuration 1 waits for the node\n"
        in footfall("status", "--config", config)[1]
    )
    tell(config, "ff-1", slot="b", **told)
    code, out, _ = footfall("status", "--config", config)
    assert f"  ff-1  online, firmware 0.2.0 (slot b), told just now\n    {shown}\n" in out
    assert code == 0


def test_status_shows_safe_mode_crashes_and_missed_edges(footfall, config):
    fill(config)
    tell(config, "ff-1", safe=True)
    with Ledger.open(load_settings(config).gateway.data / "ledger.sqlite") as ledger:
        seq = ledger.spools()[0].highest + 1
        ledger.store([Batch("ff-1", "8f3a01c2", 1, seq, ((9, "H", 0, 12, 5),))], now_ms=START_MS)
        report = CrashReport(boot=12, fw="0.1.0", text="Stack:\n  deep \x1b[2J\nMemoryError: no\n")
        NodeBook(ledger).keep_crashes([("ff-1", report)], time.time_ns() // 1_000_000)
    _, out, _ = footfall("status", "--config", config)
    assert "    SAFE MODE: " in out
    assert "    its program missed 12 edges; 5 passages were told by the hardware counters\n" in out
    assert "    crashed once in boot 12, told just now: MemoryError: no\n" in out
    assert "deep" not in out
    _, out, _ = footfall("status", "--crashes", "--config", config)
    assert (
        "  ff-1  boot 12, 0.1.0, told just now:\n      Stack:\n        deep \\x1b[2J\n      MemoryError: no\n"
        in out
    )


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"version": "0.2.0", "percent": 40}, "update to 0.2.0: 40 %"),
        ({"version": "0.2.0", "error": "slot b: ValueError"}, "update to 0.2.0 failed: slot b: ValueError"),
    ],
)
def test_status_shows_an_update_of_a_node(footfall, config, told, shown):
    fill(config)
    tell(config, "ff-1", update=told)
    assert f"    {shown}\n" in footfall("status", "--config", config)[1]


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ({"result": "passed", "right": 79, "of": 80}, "accepted, 2026-03-02, 98.8 % of 80 right"),
        ({"result": "failed", "right": 40, "of": 80}, "NOT ACCEPTED, 2026-03-02, 50.0 % of 80 right"),
        ({}, "acceptance not complete, 2026-03-02"),
    ],
)
def test_status_shows_how_the_last_acceptance_of_a_door_ended(footfall, config, result, shown):
    fill(config)
    data = load_settings(config).gateway.data
    for day, more in (("01", {"result": "passed"}), ("02", result)):
        acceptance.keep(
            data,
            Acceptance(
                "lab",
                "main",
                "ff-1",
                (0,),
                "0.1.0",
                single_beam=False,
                short=False,
                begun_utc=f"2026-03-{day}T10:00:00Z",
                **more,
            ),
        )
    _, out, _ = footfall("status", "--config", config)
    assert f"  door lab/main  {shown}\n" in out
    acceptance.path_of(data, acceptance.latest(data, "lab", "main")).write_text("{")
    _, out, _ = footfall("status", "--config", config)
    assert "  door lab/main  its acceptance cannot be read: " in out, "and nothing else suffers"
    assert "waiting for InfluxDB" in out


# ------------------------------------------------------------------------------------------------------------- run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_ends_cleanly_when_told_to(config, number):
    running = Running("run", "--config", config)
    running.wait_for("connection refused")  # no broker: it waits for one, that is no reason to end
    assert running.end(number) == 0
    words = [re.sub(r"^\S+Z \w+ +", "", line).rstrip() for line in running.lines]
    assert words[0].startswith("footfall ")
    assert "site lab: Stadtlabor, Europe/Berlin, up to 60 persons" in words
    assert words[-1] == "ended, everything that arrived is in the ledger"
    assert all(
        re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (info|warning|error) ", line) for line in running.lines
    )


def test_run_ends_when_the_kernel_gives_the_signal_to_another_thread_than_pythons_main_one(config):
    """After a stop and a continuation it may; the handler still runs in the main thread, if that ever wakes."""
    code = """
import signal, threading
from footfall_gateway import accounts
work, once = accounts.Accounts.work, []
def hit(self, *values, **named):
    if threading.current_thread() is not threading.main_thread() and not once:
        once.append(1)
        threading.Timer(0.3, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM)).start()
    return work(self, *values, **named)
accounts.Accounts.work = hit
"""
    running = Running("run", "--config", config, code=code)
    assert running.end() == 0
    assert "SIGTERM: storing what has arrived" in "".join(running.lines)


def test_a_second_gateway_on_the_same_ledger_is_refused_in_one_line(config, footfall):
    running = Running("run", "--config", config)
    running.wait_for("connection refused")
    second = subprocess.run(
        command("run", "--config", config),
        check=False,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert second.returncode == 1
    (line,) = second.stderr.splitlines()
    assert line == (
        f"ledger {config.parent}/data/ledger.sqlite: another gateway is running with it: stop that one, or give this "
        f"one another data folder"
    )
    assert footfall("status", "--config", config)[0] == 0  # reading is allowed
    assert running.end(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    "where",
    [
        "footfall_gateway.receiver.Receiver._take",
        "footfall_gateway.service.Gateway._account",
        "footfall_gateway.link_mqtt.MqttLink._on_connect_fail",
    ],
)
def test_an_error_in_any_thread_ends_the_process_loudly(config, where):
    module, _, rest = where.rpartition(".")
    code = f"""
import importlib
owner = getattr(importlib.import_module("{module.rpartition(".")[0]}"), "{module.rpartition(".")[2]}")
def fail(*values): raise RuntimeError("planted")
owner.{rest} = fail
"""
    running = Running("run", "--config", config, code=code)
    assert running.end() == 1
    text = "".join(running.lines)
    assert "critical ended by an error inside the gateway, please report it" in text
    assert "RuntimeError: planted" in text


def test_a_full_disk_is_waited_for_and_not_a_reason_to_end(config):
    code = """
from footfall_gateway import accounts, database
work, failed = accounts.Accounts.work, []
def full(self, *values, **named):
    if len(failed) < 2:
        failed.append(1)
        raise database.LedgerError(self.path if hasattr(self, "path") else "x", "the disk is full", temporary=True)
    return work(self, *values, **named)
accounts.Accounts.work = full
"""
    running = Running("run", "--config", config, code=code)
    running.wait_for("the disk is full; trying again until it works")
    running.wait_for("works again after")
    assert running.end(signal.SIGTERM) == 0


# ------------------------------------------------------------------------------------------- plug-ins and accidents


class Point:
    """An entry point as importlib.metadata gives them."""

    def __init__(self, name: str, loaded: click.Command | Exception) -> None:
        self.name = name
        self._loaded = loaded

    def load(self) -> click.Command:
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


@pytest.fixture
def plugin(monkeypatch):
    def plugin(action) -> None:
        points = {
            "good": Point("good", click.Command("good", callback=action, help="Good.")),
            "bad": Point("bad", ImportError("No module named 'amqtt'")),
        }
        monkeypatch.setattr(cli, "_plugins", lambda: points)

    return plugin


def test_other_packages_add_commands_and_a_broken_one_does_not_harm_the_rest(footfall, plugin):
    plugin(lambda: click.echo("done"))
    code, out, _ = footfall("--help")
    assert code == 0
    assert "good" in out
    assert "(cannot be loaded: No module named 'amqtt')" in out
    assert footfall("good") == (0, "done\n", "")
    code, _, err = footfall("bad", "--anything", "x")
    assert (code, err) == (1, "Error: footfall bad cannot be loaded: No module named 'amqtt'\n")


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), (5, 5)])
def test_the_number_that_a_command_returns_is_the_exit_code(footfall, plugin, result, code):
    plugin(lambda: result)
    assert footfall("good")[0] == code


def raise_(error: BaseException):
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "\nended by Ctrl-C\n"),
        (click.Abort(), 130, "ended by Ctrl-C\n"),
        (click.ClickException("no such part"), 1, "Error: no such part\n"),
        (FileNotFoundError(2, "No such file or directory", "x.csv"), 1, "x.csv: no such file or directory\n"),
        (
            ValueError("odd\nthing"),
            1,
            "an error inside footfall; please report it, with FOOTFALL_TRACEBACK=1 set: ValueError: odd thing\n",
        ),
    ],
)
def test_every_way_to_fail_is_words_and_a_code(footfall, plugin, error, code, words):
    plugin(raise_(error))
    assert footfall("good") == (code, "", words)


@pytest.mark.parametrize(
    ("typed", "code", "words"), [("n\n", 1, "nothing was changed"), ("", 1, "there is nobody to answer")]
)
def test_no_and_silence_are_answers_and_not_ctrl_c(footfall, config, monkeypatch, typed, code, words):
    fill(config, hole=True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    ended, _, err = footfall("ledger", "waive", "ff-1", "--why", "burnt", "--config", config)
    assert (ended, words in err, "Ctrl-C" in err) == (code, True, False)
    assert "MISSING" in footfall("status", "--config", config)[1]


def test_whoever_hunts_an_error_can_have_the_traceback(plugin, monkeypatch):
    plugin(raise_(ValueError("odd")))
    monkeypatch.setenv("FOOTFALL_TRACEBACK", "1")
    with pytest.raises(ValueError, match="odd"):
        cli._status(["good"])


def groups(command: click.Command, *path: str):
    """Every group of commands with the words that lead to it."""
    if isinstance(command, click.Group):
        yield path
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from groups(command.get_command(context, name), *path, name)


def test_on_80_columns_every_command_is_in_its_list_with_all_of_its_words(footfall, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    found = list(groups(cli.cli))
    assert ("ledger",) in found
    for path in found:
        listed = footfall(*path, "--help")[1].partition("Commands:\n")[2]
        lines = listed.split("\n\n")[0].splitlines()
        assert lines, path
        assert [line for line in lines if line.endswith("...") or line.startswith("    ")] == [], path


def test_help_does_not_wait_for_what_only_the_gateway_needs():
    code = "import atexit\natexit.register(lambda: print([m for m in sys.modules if m.startswith(('paho', 'influxdb'))]))"
    done = subprocess.run(
        command("config", "--help", code=code),
        check=False,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("ctrl_c", "code"), [("SIG_DFL", -signal.SIGINT), ("SIG_IGN", 0)])
def test_ctrl_c_while_the_program_loads_ends_it_without_a_traceback(ctrl_c, code):
    """Pressed in the moment in which `cli` is loaded; where whoever starts us wants it ignored, it is."""
    program = (
        "import os, signal, sys\n"
        f"signal.signal(signal.SIGINT, signal.default_int_handler if {ctrl_c!r} == 'SIG_DFL' else signal.SIG_IGN)\n"
        "class Pressed:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'footfall_gateway.cli':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "from footfall_gateway.__main__ import main\n"
        "sys.argv[1:] = ['node', '--help']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert (done.returncode, done.stderr) == (code, "")
