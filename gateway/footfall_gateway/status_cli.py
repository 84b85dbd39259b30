"""`footfall status`: nodes, missing records, refusals and what waits, in words."""

from collections.abc import Iterator
from pathlib import Path

import click

from footfall_gateway.cli import DONE, FAILED, config_option, opened_ledger
from footfall_gateway.clock import system_clock, utc_text
from footfall_gateway.commissioning import CommissioningError, acceptance
from footfall_gateway.node_book import NodeBook, NodeSummary
from footfall_gateway.node_messages import UpdateState
from footfall_gateway.outage import spoken
from footfall_gateway.outbox import Outbox
from footfall_gateway.settings import Settings, load_settings
from footfall_gateway.toml_reader import printable

__all__ = ["status"]

ENDED = {"passed": "accepted", "failed": "NOT ACCEPTED", "incomplete": "acceptance not complete"}


@click.command(short_help="Show nodes, missing records, refusals and what waits.")
@config_option()
@click.option("--crashes", is_flag=True, help="Also show the whole text of the crash reports that are kept.")
def status(config: Path, *, crashes: bool) -> int:
    """Show what is in the ledger: nodes, missing records, refused messages, what waits for InfluxDB.

    Ends with 1 if records are missing. The gateway may run meanwhile.
    """
    with opened_ledger(config) as ledger:
        book = NodeBook(ledger)
        now_ms = system_clock()
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
            day = utc_text(one.waived_ms)[:10]
            click.echo(f"  {one.node}  {one.first}-{one.last} given up by {one.who} on {day}: {one.why}")
        for boot in ledger.undated():
            click.echo(
                f"  {boot.node}  boot {boot.boot}: {boot.n_in} in, {boot.n_out} out, {boot.presses} presses without a "
                f"date, its clock was never set"
            )
        for node in book.summaries():
            for line in _node_lines(node, now_ms):
                click.echo(line)
        for line in _acceptances(load_settings(config)):
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


def _acceptances(settings: Settings) -> Iterator[str]:
    """How the last acceptance of each door ended; nothing where there was none."""
    for site in settings.sites:
        for door in sorted({one.id for one in site.doors}):
            try:
                last = acceptance.latest(settings.gateway.data, site.id, door)
            except CommissioningError as error:
                yield f"  door {site.id}/{door}  its acceptance cannot be read: {printable(error.lines[0])}"
                continue
            if last is not None:
                share = f", {100 * last.right / last.of:.1f} % of {last.of} right" if last.of else ""
                yield f"  door {site.id}/{door}  {ENDED[last.result]}, {last.begun_utc[:10]}{share}"


def _node_lines(node: NodeSummary, now_ms: int) -> Iterator[str]:
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
            f"    crashed {'once' if node.crashes == 1 else f'{node.crashes} times, the last time'} in boot {last.boot}, told"
            f" {_ago(now_ms - last.received_ms)}: {printable(last.last_line)}"
        )


def _update(update: UpdateState) -> str:
    version = printable(update.version or "?")
    if update.error:
        return f"update to {version} failed: {printable(update.error)}"
    return f"update to {version}: {update.percent or 0:.0f} %"


def _taken(node: NodeSummary) -> str:
    assert node.configuration is not None
    if node.state is None or node.state.rev is None:
        return "waits for the node"
    if node.state.config_error:
        return f"refused: {printable(node.state.config_error)}"
    if node.state.rev == node.configuration.rev:
        return "taken"
    return f"not taken yet, the node has {node.state.rev}"


def _duration(ms: int) -> str:
    return spoken(ms / 1000)


def _ago(ms: int) -> str:
    return "just now" if ms < 5000 else f"{_duration(ms)} ago"
