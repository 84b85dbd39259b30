"""The command `footfall`. Commands are loaded when they are called, so that none waits for what only another one needs.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from footfall_gateway.clock import ClockError, simulated_clock, system_clock
from footfall_gateway.settings import SettingsError, load_settings
from footfall_gateway.streams import give_up, prepare_standard_streams, unwritable, whole_file
from footfall_gateway.toml_reader import reason

if TYPE_CHECKING:
    from footfall_gateway.ledger import Ledger

__all__ = ["cli", "main"]

_Command = TypeVar("_Command", bound="Callable[..., Any] | click.Command")

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
PLUGINS = "footfall.commands"

# Commands that live beside the code they call: name -> module:attribute
ELSEWHERE = {
    "flash": "footfall_gateway.commissioning.flash_cli:flash",
    "accept": "footfall_gateway.commissioning.accept_cli:accept",
    "node": "footfall_gateway.commissioning.node_cli:node",
    "ledger": "footfall_gateway.ledger_cli:ledger",
    "recount": "footfall_gateway.recount:recount",
    "status": "footfall_gateway.status_cli:status",
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


def config_option(help_text: str = "The settings file.") -> Callable[[_Command], _Command]:
    """--config, the same for every command; `help_text` says what this one takes from the settings."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        default=Path("footfall.toml"),
        show_default=True,
        envvar="FOOTFALL_CONFIG",
        show_envvar=True,
        help=help_text,
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
@config_option()
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
@config_option()
@click.option("--connect", is_flag=True, help="Also try to reach the broker, the serial ports and InfluxDB.")
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


@cli.command(
    short_help="Write the counts from the ledger as a table.",
    epilog="\b\nExample:\n  footfall export --hours --format csv --out hours.csv",
)
@config_option()
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
    from footfall_gateway.export import (  # noqa: PLC0415
        export_feedback,
        export_hours,
        export_passers_by,
    )

    if [hours, feedback, passers_by].count(True) != 1:
        raise click.UsageError("choose one of --hours, --feedback and --passers-by")
    with opened_ledger(config) as ledger, _output(out) as file:
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


@contextlib.contextmanager
def opened_ledger(config: Path) -> "Iterator[Ledger]":
    """The ledger of these settings, to read; the gateway may run meanwhile."""
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
