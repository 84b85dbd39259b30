"""The command `footfall`. Commands are loaded when they are called, so that `footfall --help` answers at once.

`main` is the only place that turns errors into words and exit codes: 0 done, 1 it did not work, 2 the input or the
settings are wrong, 130 ended by Ctrl-C. Other packages add commands through the entry points `footfall.commands`.
"""

import contextlib
import csv
import dataclasses
import datetime as dt
import importlib
import importlib.metadata
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

import click

from footfall_gateway.clock import ClockError, simulated_clock, system_clock
from footfall_gateway.settings import SettingsError, load_settings
from footfall_gateway.streams import give_up, prepare_standard_streams, unwritable, whole_file
from footfall_gateway.toml_reader import printable, reason

if TYPE_CHECKING:
    from footfall_gateway.ledger import Ledger
    from footfall_gateway.node_book import NodeSummary
    from footfall_gateway.node_messages import UpdateState

__all__ = ["cli", "main"]

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
PLUGINS = "footfall.commands"

# Commands that live beside the code they call: name -> module:attribute
ELSEWHERE = {
    "flash": "footfall_gateway.commissioning.flash_cli:flash",
    "accept": "footfall_gateway.commissioning.accept_cli:accept",
    "node": "footfall_gateway.commissioning.node_cli:node",
    "ledger": "footfall_gateway.ledger_cli:ledger",
    "recount": "footfall_gateway.recount:recount",
    "update": "footfall_gateway.commissioning.update_cli:update",
}


class CommandGroup(click.Group):
    """Finds commands in other modules and in plug-ins when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *ELSEWHERE, *_plugins()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        if cmd_name in ELSEWHERE:
            module, _, attribute = ELSEWHERE[cmd_name].partition(":")
            command = getattr(importlib.import_module(module), attribute)
        elif cmd_name in _plugins():
            try:
                command = _plugins()[cmd_name].load()
            except (ImportError, AttributeError) as error:
                return _broken(cmd_name, f"cannot be loaded: {error}")
        return command if isinstance(command, click.Command) else None


def _plugins() -> Mapping[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=PLUGINS)}


def _broken(name: str, why: str) -> click.Command:
    """Stands in for a command that is installed but does not load: the others still work."""

    def explain() -> NoReturn:
        raise click.ClickException(f"footfall {name} {why}")

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, callback=explain, help=f"({why})", context_settings=settings)


config_option = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path),
    default=Path("footfall.toml"),
    show_default=True,
    envvar="FOOTFALL_CONFIG",
    show_envvar=True,
    help="The settings file.",
)


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command has its own --help. Settings are explained in footfall.example.toml.",
)
@click.version_option(package_name="footfall", message="footfall %(version)s")
def cli() -> None:
    """Count visitors: from the light barrier at the door to the numbers in InfluxDB."""


@cli.command(epilog="\b\nExample:\n  footfall run --config /etc/footfall/footfall.toml")
@config_option
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="How much to say; overrides the settings.",
)
@click.option(
    "--clock",
    type=click.Path(path_type=Path),
    help="For simulations: take the time of day from this file instead of the system.",
)
def run(config: Path, log_level: str | None, clock: Path | None) -> int:
    """Run the gateway until Ctrl-C or SIGTERM.

    It listens to the nodes, keeps every record in its ledger, and sends the results to InfluxDB. What it does is
    written to standard error, one line for each thing that happens.
    """
    from footfall_gateway import service  # noqa: PLC0415 - loads paho and influxdb-client

    settings = load_settings(config)
    _log_to_stderr(log_level or settings.gateway.log_level)
    return service.run(settings, simulated_clock(clock) if clock else system_clock)


@cli.group()
def config() -> None:
    """Look after the settings file."""


@config.command(
    "check",
    epilog="\b\nExamples:\n  footfall config check --config footfall.toml\n  footfall config check --connect",
)
@config_option
@click.option("--connect", is_flag=True, help="Also try to reach the broker and InfluxDB.")
def config_check(config: Path, *, connect: bool) -> int:
    """Check the settings and show what they come to.

    Names every mistake, one a line, and ends with 2 if there is one; with --connect it ends with 1 if the settings are
    fine but something cannot be reached.
    """
    from footfall_gateway import check, service  # noqa: PLC0415

    settings = load_settings(config)
    problem = check.data_folder_problem(settings)
    if problem is not None:
        raise SettingsError([f"{config}: gateway.data: {problem}"])
    for warning in settings.warnings:
        click.echo(f"warning: {warning}", err=True)
    for line in service.summary(settings):
        click.echo(line)
    click.echo(f"{config}: OK")
    if not connect:
        return DONE
    reached = True
    for result in check.connections(settings):
        click.echo(f"{result.what}: {result.words}", err=not result.reached)
        reached = reached and result.reached
    return DONE if reached else FAILED


@cli.command(epilog="\b\nExample:\n  footfall export --hours --format csv --out hours.csv")
@config_option
@click.option("--hours", is_flag=True, help="Visitors: one row for each door and hour.")
@click.option("--feedback", is_flag=True, help="Votes: one row for each terminal, hour and answer.")
@click.option(
    "--passers-by", is_flag=True, help="People who walk past outside: one row for each place and hour."
)
@click.option("--format", "form", type=click.Choice(["csv"]), default="csv", show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file to write; standard output if left out."
)
def export(
    config: Path,
    *,
    hours: bool,
    feedback: bool,
    passers_by: bool,
    form: str,  # noqa: ARG001 - the only form so far
    out: Path | None,
) -> None:
    """Write the counts from the ledger as a table; the gateway may run meanwhile.

    \b
    --hours     site,door,hour_utc,in,out,covered_s
                An hour in which nobody watched the door has no row;
                covered_s says how many of the 3600 seconds were watched.
    --feedback  site,terminal,hour_utc,question,answer,presses,suppressed
                suppressed: pressed again within the lockout, not a vote.
    --passers-by  site,place,hour_utc,passers_by,covered_s
                People past a barrier with the role passers-by, both directions
                together. They are in none of the numbers of --hours.
    """
    from footfall_gateway.accounts import (  # noqa: PLC0415
        export_feedback,
        export_hours,
        export_passers_by,
    )

    if [hours, feedback, passers_by].count(True) != 1:
        raise click.UsageError("choose one of --hours, --feedback and --passers-by")
    with _ledger(config) as ledger, _output(out) as file:
        writer = csv.writer(file, lineterminator="\n")
        if hours:
            writer.writerow(["site", "door", "hour_utc", "in", "out", "covered_s"])
            for row in export_hours(ledger):
                writer.writerow([row.site, row.door, row.hour_utc, row.n_in, row.n_out, row.covered_s])
        elif passers_by:
            writer.writerow(["site", "place", "hour_utc", "passers_by", "covered_s"])
            for place in export_passers_by(ledger):
                writer.writerow(dataclasses.astuple(place))
        else:
            writer.writerow(["site", "terminal", "hour_utc", "question", "answer", "presses", "suppressed"])
            for vote in export_feedback(ledger):
                writer.writerow(dataclasses.astuple(vote))


@cli.command(short_help="Show nodes, missing records, refusals and what waits.")
@config_option
@click.option("--crashes", is_flag=True, help="Also show the whole text of the crash reports that are kept.")
def status(config: Path, *, crashes: bool) -> int:
    """Show what is in the ledger: nodes, missing records, refused messages, what waits for InfluxDB.

    Ends with 1 if records are missing. The gateway may run meanwhile.
    """
    from footfall_gateway.node_book import NodeBook  # noqa: PLC0415
    from footfall_gateway.outbox import Outbox  # noqa: PLC0415

    with _ledger(config) as ledger:
        book = NodeBook(ledger)
        now_ms = time.time_ns() // 1_000_000
        spools = ledger.spools()
        counters = ledger.counters()
        outbox = Outbox(ledger)
        click.echo(
            f"{counters.records} records of {len({spool.node for spool in spools})} nodes in {ledger.path}"
        )
        latest_ms = ledger.clock_gone_back(now_ms)
        if latest_ms is not None:
            click.echo(
                f"this machine's clock has gone back by {_duration(latest_ms - now_ms)}: no node is told the time"
            )
        for spool in spools:
            ago = _ago(now_ms - spool.last_received_ms)
            click.echo(f"  {spool.node}  spool {spool.spool}  {spool.highest} records, the last came {ago}")
            if spool.missing:
                holes = ", ".join(
                    f"{first}-{last}" if last > first else f"{first}" for first, last in spool.holes
                )
                click.echo(f"    MISSING {spool.missing}: {holes}")
            if spool.lost:
                click.echo(f"    gone for good: {spool.lost}")
        for one in ledger.waivers():
            day = time.strftime("%Y-%m-%d", time.gmtime(one.waived_ms / 1000))
            click.echo(f"  {one.node}  {one.first}-{one.last} given up by {one.who} on {day}: {one.why}")
        for boot in ledger.undated():
            click.echo(
                f"  {boot.node}  boot {boot.boot}: {boot.n_in} in, {boot.n_out} out, {boot.presses} presses without a "
                f"date, its clock was never set"
            )
        for node in book.summaries():
            for line in _node_lines(node, now_ms):
                click.echo(line)
        for crash in book.crashes() if crashes else ():
            click.echo(
                f"  {crash.node}  boot {crash.boot}, {printable(crash.firmware)}, told {_ago(now_ms - crash.received_ms)}:"
            )
            for line in crash.text.splitlines():
                click.echo(f"      {printable(line)}")
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(counters.quarantined_by_reason.items()))
        click.echo(f"refused: {counters.quarantined}" + (f" ({reasons})" if reasons else ""))
        depth = outbox.depth()
        lag = f", the oldest for {_duration(outbox.lag_ms(now_ms))}" if depth else ""
        click.echo(f"waiting for InfluxDB: {depth} points{lag}; set aside: {outbox.rejected()}")
    return FAILED if any(spool.missing for spool in spools) else DONE


def _node_lines(node: "NodeSummary", now_ms: int) -> Iterator[str]:
    """How a node is and what it has taken, as far as it has told."""
    words = (
        ["online" if node.online else "offline"] if node.state or node.told_ms else ["has not told how it is"]
    )
    if node.state is not None:
        slot = f" (slot {printable(node.state.slot)})" if node.state.slot else ""
        words.append(f"firmware {printable(node.state.fw)}{slot}")
    if node.told_ms is not None:
        words.append(f"told {_ago(now_ms - node.told_ms)}")
    yield f"  {node.node}  {', '.join(words)}"
    if node.state is not None and node.state.safe:
        yield "    SAFE MODE: its firmware ended several times in a row; it counts, and leaves out all else"
    if node.state is not None and node.online:
        for barrier, fault in enumerate(node.state.faults):
            if fault:
                noisy = barrier < len(node.state.noisy) and node.state.noisy[barrier]
                yield f"    barrier {barrier} is {'disturbed' if noisy else 'obstructed'}, it cannot count"
    if node.state is not None and node.state.update is not None:
        yield f"    {_update(node.state.update)}"
    if node.configuration is not None:
        yield f"    configuration {node.configuration.rev} {_taken(node)}"
    elif node.state is not None and node.state.config_error:
        yield f"    configuration refused: {printable(node.state.config_error)}"
    if node.missed_edges:
        yield f"    its program missed {node.missed_edges} edges; {node.recovered} passages were told by the hardware counters"
    if node.last_crash is not None:
        last = node.last_crash
        yield (
            f"    crashed {node.crashes} times, the last time in boot {last.boot}, told"
            f" {_ago(now_ms - last.received_ms)}: {printable(last.last_line)}"
        )


def _update(update: "UpdateState") -> str:
    version = printable(update.version or "?")
    if update.error:
        return f"update to {version} failed: {printable(update.error)}"
    return f"update to {version}: {update.percent or 0:.0f} %"


def _taken(node: "NodeSummary") -> str:
    assert node.configuration is not None
    if node.state is None or node.state.rev is None:
        return "waits for the node"
    if node.state.config_error:
        return f"refused: {printable(node.state.config_error)}"
    if node.state.rev == node.configuration.rev:
        return "taken"
    return f"not taken yet, the node has {node.state.rev}"


def _duration(ms: int) -> str:
    from footfall_gateway.outage import spoken  # noqa: PLC0415

    return spoken(ms / 1000)


def _ago(ms: int) -> str:
    return "just now" if ms < 5000 else f"{_duration(ms)} ago"


@contextlib.contextmanager
def _ledger(config: Path) -> "Iterator[Ledger]":
    from footfall_gateway.ledger import Ledger  # noqa: PLC0415
    from footfall_gateway.service import ledger_path  # noqa: PLC0415

    with Ledger.open(ledger_path(load_settings(config)), read_only=True) as ledger:
        yield ledger


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[IO[str]]:
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
    else:
        with whole_file(path) as file:
            yield file


class _UtcFormatter(logging.Formatter):
    """`2026-01-31T09:15:02Z info    the words`, UTC as in every other place of the system."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return dt.datetime.fromtimestamp(record.created, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        record.level = record.levelname.lower()
        return super().format(record)


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_UtcFormatter("%(asctime)s %(level)-7s %(message)s"))
    root = logging.getLogger("footfall_gateway")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(level.upper())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script. Every end of every command passes here."""
    prepare_standard_streams()
    code = _status(arguments)
    for stream in (sys.stdout, sys.stderr):
        if unwritable(stream):
            give_up(stream)
    sys.exit(code)


def _status(arguments: Sequence[str] | None) -> int:
    try:
        result = cli.main(args=arguments, prog_name="footfall", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # `footfall export | head`: the reader has seen enough
        give_up(sys.stdout)
        return FAILED  # as click does where it meets the same
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__context__, EOFError):
            _tell("", "there is nobody to answer: standard input has ended")
            return FAILED
        _tell("ended by Ctrl-C")
        return INTERRUPTED
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        return error.exit_code
    except Exception as error:
        if os.environ.get("FOOTFALL_TRACEBACK"):
            raise
        lines, code = _in_words(error)
        _tell(*lines)
        return code
    return result if isinstance(result, int) else DONE


def _tell(*lines: str) -> None:
    with contextlib.suppress(OSError):  # standard error on a full disk: the exit code still tells
        for line in lines:
            click.echo(line, err=True)


def _in_words(error: Exception) -> tuple[Sequence[str], int]:
    """What went wrong, a line for each thing, and the exit code."""
    from footfall_gateway.commissioning import CommissioningError  # noqa: PLC0415
    from footfall_gateway.database import LedgerError  # noqa: PLC0415

    if isinstance(error, CommissioningError):
        return error.lines, FAILED
    if isinstance(error, SettingsError):
        return error.problems, WRONG_INPUT
    if isinstance(error, ClockError):
        return [str(error)], WRONG_INPUT
    if isinstance(error, LedgerError):
        return [str(error)], FAILED
    if isinstance(error, OSError):
        where = error.filename or ("standard output" if unwritable(sys.stdout) else None)
        return [f"{where}: {reason(error)}" if where else reason(error)], FAILED
    what = f"{type(error).__name__}: {error}".replace("\n", " ")
    return [f"an error inside footfall; please report it, with FOOTFALL_TRACEBACK=1 set: {what}"], FAILED


if __name__ == "__main__":
    main()
