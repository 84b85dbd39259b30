"""`footfall ledger …`: what a person decides about the ledger, kept in it with name and reason.

Each of these writes, so the gateway must be stopped meanwhile: it alone may write while it runs.
"""

import getpass
import re
from pathlib import Path

import click

from footfall_gateway.cli import config_option
from footfall_gateway.clock import system_clock, utc_text
from footfall_gateway.database import LedgerError
from footfall_gateway.ledger import Ledger, SpoolStatus
from footfall_gateway.service import ledger_path
from footfall_gateway.settings import load_settings
from footfall_gateway.storing import MAX_GONE_ROWS

__all__ = ["ledger"]

LONGEST = 200  # characters of a name or reason

Range = tuple[int, int]


@click.group(short_help="Give up missing records; trust a clock again.")
def ledger() -> None:
    """Decide what the ledger cannot know: give up records that no node has any more, say that the clock is right."""


def _words(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value.strip() or not value.isprintable() or len(value) > LONGEST:
        raise click.BadParameter(f"expected 1 to {LONGEST} characters on one line", param=parameter)
    return value.strip()


def _records(_context: click.Context, parameter: click.Parameter, value: str | None) -> Range | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,15})(?:-(\d{1,15}))?", value)
    if found is None:
        raise click.BadParameter("expected a number or a range such as 147-156", param=parameter)
    first, last = int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= last:
        raise click.BadParameter("expected the first number, then the last, such as 147-156", param=parameter)
    return first, last


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


who_option = click.option(
    "--who", default=_user, required=True, callback=_words, help="Your name; the user's if left out."
)
why_option = click.option("--why", required=True, callback=_words, help="The reason; it is kept.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@ledger.command(
    short_help="Give up records that will never come.",
    epilog="\b\nExamples:\n  footfall ledger waive ff-main --why 'the board burnt down'\n"
    "  footfall ledger waive ff-main --spool 8f3a01c2 --records 147-156 --why 'flash replaced'",
)
@click.argument("node")
@config_option()
@click.option("--spool", help="Only this spool of the node.")
@click.option(
    "--records",
    callback=_records,
    help="Only these numbers, such as 147-156; all that are missing if left out.",
)
@who_option
@why_option
@yes_option
def waive(
    node: str, config: Path, *, spool: str | None, records: Range | None, who: str, why: str, yes: bool
) -> None:
    """Give up records of NODE that are missing and will never come, because the node is gone or its flash is.

    What a node still has it sends by itself, again and again: wait for a day before you give anything up of a node that runs.
    Until then they count as missing, and the node's acknowledgement waits for them. They are shown as given up, with your
    name and reason. One that comes after all is counted. The gateway must be stopped meanwhile.
    """
    with _open(config) as one:
        chosen = [
            (status, gap)
            for status in one.spools()
            if status.node == node and spool in (None, status.spool)
            for gap in ([records] if records else one.holes(node, status.spool))
        ]
        if records and len(chosen) > 1:
            raise click.UsageError(f"node {node} has several spools: say which with --spool")
        if not chosen:
            raise click.ClickException(_nothing(one.spools(), node, spool))
        for status, (first, last) in chosen:
            click.echo(f"{node} spool {status.spool}: {first}-{last} ({last - first + 1} records)")
        _ask("Give these up for good?", yes)
        now_ms = system_clock()
        for status, (first, last) in chosen:
            for start in range(first, last + 1, MAX_GONE_ROWS):
                stop = min(last, start + MAX_GONE_ROWS - 1)
                try:
                    ack = one.waive(node, status.spool, start, stop, who, why, now_ms)
                except ValueError as error:
                    raise click.ClickException(str(error)) from None
            click.echo(f"given up; spool {status.spool} is now acknowledged up to {ack.seq}")


def _ask(question: str, yes: bool) -> None:  # noqa: FBT001 - the option --yes
    if not yes and not click.confirm(question, err=True):
        raise click.ClickException("nothing was changed")


def _nothing(spools: tuple[SpoolStatus, ...], node: str, spool: str | None) -> str:
    here = [status for status in spools if status.node == node]
    if not here:
        known = ", ".join(sorted({status.node for status in spools})) or "none yet"
        return f'the ledger has no records of node "{node}"; it knows: {known}'
    if spool is not None and spool not in {status.spool for status in here}:
        return f'node {node} has no spool "{spool}"; it has: {", ".join(status.spool for status in here)}'
    return f"nothing is missing of node {node}"


@ledger.command(
    "trust-clock",
    short_help="Say that this machine's clock is right.",
    epilog="\b\nExample:\n  footfall ledger trust-clock --why 'it had been set to 2035'",
)
@config_option()
@who_option
@why_option
@yes_option
def trust_clock(config: Path, *, who: str, why: str, yes: bool) -> None:
    """Say that the clock of this machine is right although the ledger has seen later times.

    A gateway whose clock has gone back tells no node the time, as its records would be dated wrongly. Where the clock was
    wrong before and is right now, this ends that. What nodes counted by the wrong time is dated anew as soon as they are told
    the right one; what they counted before a restart, and nothing dates any more, is shown as undated. The gateway must be
    stopped meanwhile.
    """
    with _open(config) as one:
        now_ms = system_clock()
        was_ms = one.latest_ms()
        if was_ms <= now_ms:
            raise click.ClickException(
                f"the clock has not gone back: the ledger's latest moment is {utc_text(was_ms)}"
                if was_ms
                else "the ledger has received nothing yet: no clock can have gone back"
            )
        click.echo(
            f"the ledger's latest moment is {utc_text(was_ms)}, this machine's clock says {utc_text(now_ms)}"
        )
        _ask("Is the clock right?", yes)
        one.trust_clock(who, why, now_ms)
        click.echo("the clock is trusted again")


def _open(config: Path) -> Ledger:
    path = ledger_path(load_settings(config))
    if not path.is_file():
        raise LedgerError(path, "it does not exist yet: start the gateway once with footfall run")
    try:
        return Ledger.open(path)
    except LedgerError as error:
        if error.in_use:
            raise LedgerError(
                path, "the gateway is running with it: stop it first (systemctl stop footfall)"
            ) from None
        raise
