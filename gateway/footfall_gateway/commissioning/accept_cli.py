"""`footfall accept`: leads two people at a door through its acceptance, compares with what the node counts, keeps the result.

`accept_dialogue` is the way through it, `acceptance` says what is done and how it is judged, `accept_words` how it is said, `accept_screen`
shows it. Here is the command: which door, which node, begin or go on, and how it ends.
"""

import datetime as dt
from pathlib import Path

import click
from rich.console import Console
from rich.markdown import Markdown

from footfall_gateway.cli import config_option
from footfall_gateway.commissioning import acceptance
from footfall_gateway.commissioning.accept_dialogue import Dialogue, utc_now
from footfall_gateway.commissioning.accept_protocol import local_time, protocol
from footfall_gateway.commissioning.accept_screen import Screen
from footfall_gateway.commissioning.accept_words import say
from footfall_gateway.commissioning.acceptance import Acceptance
from footfall_gateway.commissioning.keyboard import StoppedError
from footfall_gateway.commissioning.language import language_option, tr
from footfall_gateway.commissioning.node_link import NodeError
from footfall_gateway.commissioning.node_target import Target
from footfall_gateway.settings import Settings, load_settings

__all__ = ["accept"]

FAILED = 1


@click.command(
    epilog="\b\nExamples:\n  footfall accept --site lab --door main\n  footfall accept --site lab --door main --port /dev/ttyUSB0 --short --language de\n"
    "  footfall accept --site lab --door main --show"
)
@click.option("--site", required=True, help="The site's id in the settings.")
@click.option("--door", required=True, help="The door's id.")
@config_option("The gateway's settings: which node, which broker, where to keep the result.")
@click.option("--port", help="Listen on this USB port instead of the broker.")
@click.option("--node", "node_name", help="Which node, where several watch this door.")
@language_option
@click.option("--short", is_flag=True, help="A quarter of the walk test.")
@click.option("--new", is_flag=True, help="Begin anew, even if one was broken off.")
@click.option(
    "--totals", is_flag=True, help="Count by hand elsewhere (paper, a clicker) and type only the totals."
)
@click.option("--show", is_flag=True, help="Show the protocol of the last acceptance of this door, and end.")
@click.option(
    "--alignment-seconds",
    type=click.FloatRange(0.5, 600),
    default=10.0,
    show_default=True,
    help="How long both beams must be quiet.",
)
def accept(
    site: str,
    door: str,
    config: Path,
    port: str | None,
    node_name: str | None,
    alignment_seconds: float,
    *,
    short: bool,
    new: bool,
    totals: bool,
    show: bool,
) -> int:
    """Accept a door: alignment, walk test, counting by hand.

    It says what to do, watches what the node counts, judges, and keeps a protocol with the door. Counting goes on all the
    while. Ends with 1 if the door did not pass.
    """
    settings = load_settings(config)
    name, barriers = _watchers(settings, site, door, node_name)
    data = settings.gateway.data
    before = acceptance.latest(data, site, door)
    if show:
        if before is None:
            raise NodeError(say("none_kept", folder=acceptance.folder(data)))
        _show(protocol(before, settings))
        return 0
    with Target(name, port, config, config_wanted=True).open() as link:
        told = link.command("info")
        there = len(told["barriers"])
        if barriers[-1] >= there:
            raise NodeError(
                tr(
                    "{config}: door {door} is barrier {barrier} of {name}, but that node has {there} (numbered from 0)",
                    config=config,
                    door=door,
                    barrier=barriers[-1],
                    name=name,
                    there=there,
                ),
                tr("Correct `barrier` of the [[site.door]], or `barriers` in the node's config.json."),
            )
        screen = Screen()
        dialogue = Dialogue(link, screen, barriers, told["barriers"], settings, totals=totals)
        screen.heading(say("title", door=door, site=_title(settings, site)))
        screen.line(say("node_is", node=told["node"], firmware=told["fw"], way=link.way))
        screen.line(say("two_people"))
        screen.line(say("keep_hint"))
        one = Acceptance(
            site,
            door,
            name,
            barriers,
            str(told["fw"]),
            dialogue.single_beam,
            short,
            f"{utc_now():%Y-%m-%dT%H:%M:%SZ}",
        )
        try:
            if before is not None and not new and before.node == name and _goes_on(screen, before):
                one = before
            one = dialogue.lead(one, alignment_seconds, before.mounting if before else None)
        except (StoppedError, KeyboardInterrupt, NodeError) as error:
            screen.line()
            if acceptance.path_of(data, one).exists():
                screen.line(say("goes_on", path=acceptance.path_of(data, one)))
            if not isinstance(error, StoppedError):
                raise
            return FAILED
        return 0 if one.result == "passed" else FAILED


def _goes_on(screen: Screen, before: Acceptance) -> bool:
    """Whether an acceptance was broken off, and is to be gone on with."""
    if not acceptance.can_be_continued(before, utc_now()):
        return False
    when, done = local_time(before.begun_utc), len(before.steps)
    return screen.yes(say("continue", when=when, done=done, all=len(before.plan())))


def _title(settings: Settings, site: str) -> str:
    """The site's name, as people know it."""
    return next((one.title for one in settings.sites if one.id == site), site)


def _watchers(settings: Settings, site: str, door: str, node: str | None) -> tuple[str, tuple[int, ...]]:
    """(node, its barriers) that watch this door today."""
    sites = {one.id: one for one in settings.sites}
    if site not in sites:
        raise click.UsageError(
            tr("--site {site}: the settings know {known}", site=site, known=", ".join(sites) or tr("no site"))
        )
    entries = [one for one in sites[site].doors if one.id == door]
    if not entries:
        known = ", ".join(sorted({one.id for one in sites[site].doors})) or tr("no door")
        raise click.UsageError(
            tr("--door {door}: site {site} has {known}", door=door, site=site, known=known)
        )
    today = dt.datetime.now(dt.UTC).date()
    begun = [one for one in entries if one.valid_from <= today] or entries
    last = max(one.valid_from for one in begun)
    now = [one for one in begun if one.valid_from == last]
    nodes = sorted({one.node for one in now})
    if node is None and len(nodes) > 1:
        raise click.UsageError(
            tr(
                "--door {door}: several nodes watch it ({nodes}); say which one: --node",
                door=door,
                nodes=", ".join(nodes),
            )
        )
    wanted = node or nodes[0]
    if wanted not in nodes:
        raise click.UsageError(
            tr(
                "--node {wanted}: {door} is watched by {nodes}",
                wanted=wanted,
                door=door,
                nodes=", ".join(nodes),
            )
        )
    return wanted, tuple(sorted(one.barrier for one in now if one.node == wanted))


def _show(text: str) -> None:
    console = Console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        click.echo(text, nl=False)
