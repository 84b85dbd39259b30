"""`footfall accept`: leads two people at a door through its acceptance, compares with what the node counts, keeps the result.

`acceptance` says what is done and how it is judged, `accept_words` how it is said. Here are the order of things, the keyboard
and the screen: a live line in a terminal, plain lines elsewhere.
"""

import datetime as dt
import locale
import os
import time
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.markdown import Markdown

from footfall_gateway.commissioning import acceptance
from footfall_gateway.commissioning.accept_protocol import local_time, protocol, share
from footfall_gateway.commissioning.accept_words import LANGUAGES, Say
from footfall_gateway.commissioning.acceptance import (
    Acceptance,
    Alignment,
    Counted,
    Mounting,
    Step,
    StepResult,
    Tally,
)
from footfall_gateway.commissioning.keyboard import Keyboard, StoppedError
from footfall_gateway.commissioning.node_cli import Target
from footfall_gateway.commissioning.node_link import BeamFault, MqttLink, NodeError, NodeLink, Passage
from footfall_gateway.settings import Settings, load_settings

__all__ = ["accept"]

FAILED = 1
SETTLE_USB_S = 0.5  # a passage is believed and told within half a second
SETTLE_MQTT_S = 4.0  # it waits for the flash and the broker besides
LOOK_S = 0.2
ALIGN_EVERY_S = 1.0
CHATTER = 1  # changes in the whole alignment: a beam that nobody breaks has none
RULES = {"height_mm": (100, 3000), "spacing_mm": (10, 1000), "width_mm": (200, 10_000)}
USUAL = {"height_mm": 1100, "spacing_mm": 100, "width_mm": 1000}


@click.command(
    epilog="\b\nExamples:\n  footfall accept --site lab --door main\n  footfall accept --site lab --door main --port /dev/ttyUSB0 --short --language de\n"
    "  footfall accept --site lab --door main --show"
)
@click.option("--site", required=True, help="The site's id in the settings.")
@click.option("--door", required=True, help="The door's id.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("footfall.toml"),
    show_default=True,
    envvar="FOOTFALL_CONFIG",
    help="The gateway's settings: which node, which broker, where to keep the result.",
)
@click.option("--port", help="Listen on this USB port instead of the broker.")
@click.option("--node", "node_name", help="Which node, where several watch this door.")
@click.option("--language", type=click.Choice(LANGUAGES), help="Default: that of the computer.")
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
    language: str | None,
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
    say = Say(language or _language())
    name, barriers = _watchers(settings, site, door, node_name)
    data = settings.gateway.data
    before = acceptance.latest(data, site, door)
    if show:
        if before is None:
            raise NodeError(say("none_kept", folder=acceptance.folder(data)))
        _show(protocol(before, settings, say))
        return 0
    with Target(name, port, config, config_wanted=True).open() as link:
        dialogue = _Dialogue(link, Keyboard(), say, barriers, settings, totals=totals)
        one = _begin(dialogue, before, site, door, name, barriers, short=short, new=new)
        try:
            one = dialogue.lead(one, alignment_seconds, before.mounting if before else None)
        except (StoppedError, KeyboardInterrupt) as error:
            dialogue.line()
            dialogue.line(say("goes_on", path=acceptance.path_of(data, dialogue.kept)))
            if isinstance(error, KeyboardInterrupt):
                raise
            return FAILED
        return 0 if one.result == "passed" else FAILED


def _watchers(settings: Settings, site: str, door: str, node: str | None) -> tuple[str, tuple[int, ...]]:
    """(node, its barriers) that watch this door today."""
    sites = {one.id: one for one in settings.sites}
    if site not in sites:
        raise click.UsageError(f"--site {site}: the settings know {', '.join(sites) or 'no site'}")
    entries = [one for one in sites[site].doors if one.id == door]
    if not entries:
        known = ", ".join(sorted({one.id for one in sites[site].doors})) or "no door"
        raise click.UsageError(f"--door {door}: site {site} has {known}")
    today = dt.datetime.now(dt.UTC).date()
    begun = [one for one in entries if one.valid_from <= today] or entries
    last = max(one.valid_from for one in begun)
    now = [one for one in begun if one.valid_from == last]
    nodes = sorted({one.node for one in now})
    if node is None and len(nodes) > 1:
        raise click.UsageError(
            f"--door {door}: several nodes watch it ({', '.join(nodes)}); say which one: --node"
        )
    wanted = node or nodes[0]
    if wanted not in nodes:
        raise click.UsageError(f"--node {wanted}: {door} is watched by {', '.join(nodes)}")
    return wanted, tuple(sorted(one.barrier for one in now if one.node == wanted))


def _language() -> str:
    for name in (
        os.environ.get("LC_ALL"),
        os.environ.get("LC_MESSAGES"),
        os.environ.get("LANG"),
        locale.getlocale()[0],
    ):
        if name:
            return "de" if name.lower().startswith(("de", "german")) else "en"
    return "en"


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def _begin(
    dialogue: "_Dialogue",
    before: Acceptance | None,
    site: str,
    door: str,
    node: str,
    barriers: tuple[int, ...],
    *,
    short: bool,
    new: bool,
) -> Acceptance:
    """The acceptance that was broken off, if wanted, else a fresh one."""
    say = dialogue.say
    told = dialogue.link.command("info")
    dialogue.heading(say("title", door=door, site=dialogue.site_title(site)))
    dialogue.line(say("node_is", node=told["node"], firmware=told["fw"], where=dialogue.link.where))
    dialogue.line(say("two_people"))
    dialogue.line(say("keep_hint"))
    if (
        not new
        and before is not None
        and before.node == node
        and acceptance.can_be_continued(before, _utc_now())
    ):
        question = say(
            "continue", when=local_time(before.begun_utc), done=len(before.steps), all=len(before.plan())
        )
        if dialogue.yes(question):
            return before
    single = all(
        told["barriers"][number].get("inner") is None for number in barriers if number < len(told["barriers"])
    )
    return Acceptance(
        site, door, node, barriers, str(told["fw"]), single, short, _utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
    )


class _Dialogue:
    """The way through an acceptance. `kept` is what has been written last."""

    def __init__(
        self,
        link: NodeLink,
        keyboard: Keyboard,
        say: Say,
        barriers: tuple[int, ...],
        settings: Settings,
        *,
        totals: bool,
    ) -> None:
        self.link = link
        self.say = say
        self.kept: Acceptance
        self._keyboard = keyboard
        self._barriers = barriers
        self._settings = settings
        self._totals = totals or not keyboard.has_keys
        self._console = Console(highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal
        self._settle_s = SETTLE_MQTT_S if isinstance(link, MqttLink) else SETTLE_USB_S
        self._counted = Counted()
        self._shown = ""
        if isinstance(link, MqttLink):
            link.live()

    def site_title(self, site: str) -> str:
        """The site's name, as people know it."""
        return next((one.title for one in self._settings.sites if one.id == site), site)

    # ---- screen

    def heading(self, text: str) -> None:
        self._console.print()
        self._console.print(text, style="bold", markup=False)

    def line(self, text: str = "") -> None:
        self._console.print(text, markup=False)

    def _status(self, text: str) -> None:
        """A line that is written over: in a terminal; elsewhere a line for each change."""
        if text == self._shown:
            return
        self._shown = text
        if self._live:
            click.echo(f"\r{text}\x1b[K", nl=False)
        elif text:
            click.echo(text)

    def _status_ends(self) -> None:
        if self._live and self._shown:
            click.echo()
        self._shown = ""

    # ---- keyboard

    def _answer(self, meanwhile: Callable[[], None] | None = None) -> str:
        """The next line; `meanwhile` is called until it comes. StoppedError where it is q."""
        while True:
            if meanwhile is not None:
                meanwhile()
            line = self._keyboard.line(LOOK_S if meanwhile is None else 0.0)
            if line is None:
                continue
            if line.lower() == "q":
                self._status_ends()
                raise StoppedError
            return line

    def yes(self, question: str) -> bool:
        self._console.print(question + self.say("yes_no"), markup=False, end="")
        return self._answer().lower().startswith(("y", "j"))

    def _number(self, what: str, least: int, most: int, usual: int | None = None) -> int:
        while True:
            hint = f" [{usual}]" if usual is not None else ""
            self._console.print(f"{what}{hint}: ", markup=False, end="")
            text = self._answer()
            if not text and usual is not None:
                return usual
            if text.isdigit() and least <= int(text) <= most:
                return int(text)
            self.line(self.say("a_number", least=least, most=most))

    # ---- counting

    def _count(self, within_s: float = LOOK_S) -> bool:
        """Take what the node tells; True if somebody passed."""
        event = self.link.next_event(within_s)
        passed = False
        while event is not None:
            if isinstance(event, Passage) and event.barrier in self._barriers:
                passed = True
                self._counted = Counted(
                    self._counted.n_in + (event.direction > 0),
                    self._counted.n_out + (event.direction < 0),
                    self._counted.n_unknown + (event.direction == 0),
                )
            elif isinstance(event, BeamFault) and event.barrier in self._barriers and event.begins:
                self._status_ends()
                self.line(self.say("fault"))
            event = self.link.next_event(0.0)
        return passed

    def _show_count(self) -> None:
        self._count()
        key = "live_unknown" if self.kept.single_beam else "live"
        self._status(self.say(key, **msgspec.structs.asdict(self._counted)))

    def _forget(self) -> None:
        """Those who passed until now belong to no step."""
        self._count(0.0)
        self._counted = Counted()

    def _settle(self) -> Counted:
        """Until those who have passed are counted; then the count of this step."""
        if self._settle_s > 1:
            self._status(self.say("settling"))
        until = time.monotonic() + self._settle_s
        while (left := until - time.monotonic()) > 0:
            if self._count(min(left, LOOK_S)):
                until = time.monotonic() + self._settle_s
        counted, self._counted = self._counted, Counted()
        self._status_ends()
        return counted

    # ---- the way

    def lead(self, one: Acceptance, alignment_s: float, mounting_before: Mounting | None) -> Acceptance:
        """All that is not done yet; what is done is kept after each part. The finished acceptance, shown."""
        say = self.say
        self._keep(one)
        if one.mounting is None:
            one = self._keep(msgspec.structs.replace(one, mounting=self._ask_mounting(mounting_before)))
        if one.alignment is None:
            one = self._keep(msgspec.structs.replace(one, alignment=self._align(alignment_s)))
        plan = one.plan()
        for number, step in enumerate(plan, 1):
            if any(done.id == step.id for done in one.steps):
                continue
            self.heading(say("step", number=number, all=len(plan), name=say(step.id)))
            one = self._keep(msgspec.structs.replace(one, steps=(*one.steps, self._walk(step))))
        if one.tally is None:
            one = self._keep(msgspec.structs.replace(one, tally=self._tally()))
        one = self._keep(msgspec.structs.replace(one, finished_utc=_utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")))
        path = acceptance.path_of(self._settings.gateway.data, one).with_suffix(".md")
        text = protocol(one, self._settings, say)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise NodeError(
                f"{path}: cannot be written ({(error.strerror or str(error)).lower()})"
            ) from error
        self.heading(say("result"))
        self.line(say(one.result))
        self.line(share(one, say))
        for key in acceptance.advice(one):
            self.line("- " + say("do_" + key))
        self.line(say("kept", path=path))
        return one

    def _keep(self, one: Acceptance) -> Acceptance:
        self.kept = acceptance.overall(one)
        acceptance.keep(self._settings.gateway.data, self.kept)
        return self.kept

    def _ask_mounting(self, before: Mounting | None) -> Mounting:
        self.heading(self.say("mounting"))
        numbers = {}
        for name, (least, most) in RULES.items():
            usual = int(getattr(before, name)) if before else USUAL[name]
            numbers[name] = self._number(self.say(name), least, most, usual)
        hint = f" [{before.sensor}]" if before else ""
        self._console.print(f"{self.say('sensor')}{hint}: ", markup=False, end="")
        sensor = self._answer() or (before.sensor if before else "")
        return Mounting(numbers["height_mm"], numbers["spacing_mm"], numbers["width_mm"], sensor[:80])

    def _align(self, seconds: float) -> Alignment | None:
        self.heading(self.say("alignment"))
        while True:
            self.line(self.say("alignment_do", seconds=seconds))
            if self._answer().lower() == "s":
                self.line(self.say("skipped"))
                return None
            found = self._watch_beams(seconds)
            if found.passed:
                self.line("✓ " + self.say("alignment_good"))
                return found
            for barrier, (state, changes) in enumerate(zip(found.beams, found.changes, strict=True)):
                for beam, word in enumerate(("outer", "inner")):
                    what = None
                    if changes[beam] > CHATTER:
                        what = self.say(f"chatter_{word}", n=changes[beam])
                    elif state >> beam & 1:
                        what = self.say(f"broken_{word}")
                    if what:
                        self.line("✗ " + self.say("alignment_bad", barrier=barrier, what=what))
            if self._answer().lower() != "r":
                return found

    def _watch_beams(self, seconds: float) -> Alignment:
        self.link.command("align", on=True)
        total: list[list[int]] = []
        beams: list[int] = []
        began = time.monotonic()
        try:
            while (left := began + seconds - time.monotonic()) > 0:
                time.sleep(min(left, ALIGN_EVERY_S))
                told = self.link.command("align", on=True)
                beams = told["beams"]
                total = total or [[0, 0] for _ in beams]
                for sums, changes in zip(total, told["changes"], strict=True):
                    for beam in (0, 1):
                        sums[beam] += changes[beam]
                self._status(f"{time.monotonic() - began:.0f} / {seconds:.0f} s")
        finally:
            self._status_ends()
            self.link.command("align", on=False)
        ours = [i for i in self._barriers if i < len(beams)]
        quiet = all(not beams[i] and max(total[i]) <= CHATTER for i in ours)
        return Alignment(
            seconds,
            tuple(beams[i] for i in ours),
            tuple((total[i][0], total[i][1]) for i in ours),
            passed=quiet,
        )

    def _walk(self, step: Step) -> StepResult:
        say = self.say
        while True:
            self._forget()
            self.line(say(step.id + "_do", **msgspec.structs.asdict(step)))
            self.line(say("step_end"))
            answer = self._answer(self._show_count).lower()
            if answer == "s":
                if self._counted.total:
                    self._settle()
                self._status_ends()
                self.line(say("skipped"))
                return StepResult(
                    step.id,
                    step.repeats,
                    step.people_in,
                    step.people_out,
                    Counted(),
                    0,
                    0,
                    0,
                    None,
                    skipped=True,
                )
            counted = self._settle()
            if answer == "r":
                continue
            found = acceptance.result_of(step, counted, single_beam=self.kept.single_beam)
            self.line(self._verdict(found))
            if found.passed is False:
                self.line(say("again_or_on"))
                if self._answer().lower() == "r":
                    continue
            return found

    def _verdict(self, found: StepResult | Tally) -> str:
        people = found.people_in + found.people_out
        values = {"people": people, "right": found.right, "missed": found.missed, "extra": found.extra}
        if found.passed is None:
            return self.say("noted", counted=found.counted.total, people=people)
        if people:
            return self.say("good" if found.passed else "bad", **values)
        return self.say("good_none" if found.passed else "bad_none", **values)

    def _tally(self) -> Tally | None:
        say = self.say
        self.heading(say("tally"))
        while True:
            self.line(say("tally_do"))
            if self._answer().lower() == "s":
                self.line(say("skipped"))
                return None
            self._forget()
            count_by_hand = self._count_totals if self._totals else self._count_keys
            people, counted, minutes = count_by_hand()
            if not sum(people):
                self.line(say("tally_nobody"))
                if self._answer().lower() == "r":
                    continue
                return None
            found = acceptance.tally_of(minutes, *people, counted, single_beam=self.kept.single_beam)
            if self.kept.single_beam:
                self.line(say("tally_result_single", people=sum(people), n=counted.total))
            else:
                self.line(
                    say(
                        "tally_result",
                        people_in=people[0],
                        people_out=people[1],
                        n_in=counted.n_in,
                        n_out=counted.n_out,
                    )
                )
            self.line(self._verdict(found))
            if not found.passed:
                self.line(say("again_or_on"))
                if self._answer().lower() == "r":
                    continue
            return found

    def _count_totals(self) -> tuple[tuple[int, int], Counted, float]:
        """(people in and out by hand, what the node counted, minutes)"""
        began = time.monotonic()
        self.line(self.say("tally_running", time=dt.datetime.now().astimezone().strftime("%H:%M:%S")))

        def show() -> None:
            self._count()
            self._status(self.say("tally_time", minutes=int((time.monotonic() - began) / 60)))

        self._answer(show)
        minutes = (time.monotonic() - began) / 60
        counted = self._settle()
        n_in = self._number(self.say("tally_in"), 0, 100_000)
        return (n_in, self._number(self.say("tally_out"), 0, 100_000)), counted, minutes

    def _count_keys(self) -> tuple[tuple[int, int], Counted, float]:
        """As _count_totals, with a key for each person."""
        began = time.monotonic()
        pressed: list[str] = []
        key = ""
        with self._keyboard.single_keys():  # before it is said: a key that came first would be lost
            self.line(self.say("tally_keys"))
            while key != "q":
                self._count(0.02)
                minutes = (time.monotonic() - began) / 60
                n_in, n_out = pressed.count("i"), pressed.count("o")
                self._status(self.say("tally_live", minutes=f"{minutes:.1f}", n_in=n_in, n_out=n_out))
                key = self._keyboard.key(0.05)
                if key in ("i", "o"):
                    pressed.append(key)
                elif key == "u" and pressed:
                    pressed.pop()
        self._status_ends()
        return (n_in, n_out), self._settle(), minutes


def _show(text: str) -> None:
    console = Console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        click.echo(text, nl=False)
