"""The way through an acceptance: mounting, alignment, walk test, counting by hand. `accept_cli` begins it and ends it.

Whatever is done is kept at once, so that Ctrl-C, a pulled cable or an empty battery cost only the step under way.
"""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from footfall_gateway.commissioning import acceptance
from footfall_gateway.commissioning.accept_protocol import protocol, share
from footfall_gateway.commissioning.accept_screen import LOOK_S, Screen
from footfall_gateway.commissioning.accept_words import say
from footfall_gateway.commissioning.acceptance import (
    Acceptance,
    Alignment,
    Counted,
    Mounting,
    Step,
    StepResult,
    Tally,
)
from footfall_gateway.commissioning.language import tr, why
from footfall_gateway.commissioning.node_link import (
    BeamFault,
    Event,
    MqttLink,
    NodeError,
    NodeLink,
    NodeState,
    Passage,
)
from footfall_gateway.settings import Settings

__all__ = ["Dialogue", "utc_now"]

SETTLE_USB_S = 0.5  # a passage is believed and told within half a second
SETTLE_MQTT_S = 4.0  # it waits for the flash and the broker besides
ALIGN_EVERY_S = 1.0
CHATTER = 1  # changes in the whole alignment: a beam that nobody breaks has none
RULES = {"height_mm": (100, 3000), "spacing_mm": (10, 1000), "width_mm": (200, 10_000)}
USUAL = {"height_mm": 1100, "spacing_mm": 100, "width_mm": 1000}
BEAMS = ("outer", "inner")


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


class Dialogue:
    """One acceptance of `barriers` of the node at the link's end; of_node: what its `info` tells of all its barriers."""

    def __init__(
        self,
        link: NodeLink,
        screen: Screen,
        barriers: tuple[int, ...],
        of_node: Sequence[Mapping[str, Any]],
        settings: Settings,
        *,
        totals: bool,
    ) -> None:
        self._link = link
        self._screen = screen
        self._kept: Acceptance
        self._barriers = barriers
        self._beams = {n: 1 if of_node[n].get("inner") is None else 3 for n in barriers}  # as bits
        self.single_beam = all(beams == 1 for beams in self._beams.values())
        self._settings = settings
        self._totals = totals or not screen.keyboard.has_keys
        self._settle_s = SETTLE_MQTT_S if isinstance(link, MqttLink) else SETTLE_USB_S
        self._counted = Counted()
        self._online = True
        if isinstance(link, MqttLink):
            link.live()

    # ---- counting

    def _count(self, within_s: float = LOOK_S) -> bool:
        """Take what the node tells; True if somebody passed."""
        event = self._link.next_event(within_s)
        passed = False
        while event is not None:
            if isinstance(event, Passage) and event.barrier in self._barriers:
                passed = True
                self._counted = Counted(
                    self._counted.n_in + (event.direction > 0),
                    self._counted.n_out + (event.direction < 0),
                    self._counted.n_unknown + (event.direction == 0),
                )
            elif (said := self._trouble(event)) is not None:
                self._screen.status_ends()
                self._screen.line(said)
            event = self._link.next_event(0.0)
        return passed

    def _trouble(self, event: Event) -> str | None:
        """What the person at the door should know at once."""
        if isinstance(event, BeamFault) and event.barrier in self._barriers and event.begins:
            return say(f"fault_{BEAMS[event.beam]}")
        if isinstance(event, NodeState):
            was, self._online = self._online, event.values.get("online") is True
            if was != self._online:
                return say("is_back" if self._online else "is_away")
        return None

    def _show_count(self) -> None:
        self._count()
        key = "live_unknown" if self._kept.single_beam else "live"
        self._screen.status(say(key, **msgspec.structs.asdict(self._counted)))

    def _forget(self) -> None:
        """Those who passed until now belong to no step."""
        self._count(0.0)
        self._counted = Counted()

    def _settle(self) -> Counted:
        """Until those who have passed are counted; then the count of this step."""
        if self._settle_s > 1:
            self._screen.status(say("settling"))
        until = time.monotonic() + self._settle_s
        while (left := until - time.monotonic()) > 0:
            if self._count(min(left, LOOK_S)):
                until = time.monotonic() + self._settle_s
        counted, self._counted = self._counted, Counted()
        self._screen.status_ends()
        return counted

    # ---- the way

    def lead(self, one: Acceptance, alignment_s: float, mounting_before: Mounting | None) -> Acceptance:
        """All that is not done yet; what is done is kept after each part. The finished acceptance, shown."""
        self._keep(one)
        if one.mounting is None:
            one = self._keep(msgspec.structs.replace(one, mounting=self._ask_mounting(mounting_before)))
        if one.alignment is None:
            one = self._keep(msgspec.structs.replace(one, alignment=self._align(alignment_s)))
        plan = one.plan()
        for number, step in enumerate(plan, 1):
            if any(done.id == step.id for done in one.steps):
                continue
            self._screen.heading(say("step", number=number, all=len(plan), name=say(step.id)))
            one = self._keep(msgspec.structs.replace(one, steps=(*one.steps, self._walk(step))))
        if one.tally is None:
            one = self._keep(msgspec.structs.replace(one, tally=self._tally()))
        one = self._keep(msgspec.structs.replace(one, finished_utc=utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")))
        path = acceptance.path_of(self._settings.gateway.data, one).with_suffix(".md")
        text = protocol(one, self._settings)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise NodeError(tr("{path}: cannot be written ({why})", path=path, why=why(error))) from error
        self._screen.heading(say("result"))
        self._screen.line(say(one.result))
        self._screen.line(share(one))
        for key in acceptance.advice(one):
            self._screen.line("- " + say("do_" + key))
        self._screen.line(say("kept", path=path))
        return one

    def _keep(self, one: Acceptance) -> Acceptance:
        self._kept = acceptance.overall(one)
        acceptance.keep(self._settings.gateway.data, self._kept)
        return self._kept

    def _ask_mounting(self, before: Mounting | None) -> Mounting:
        self._screen.heading(say("mounting"))
        numbers = {}
        for name, (least, most) in RULES.items():
            usual = int(getattr(before, name)) if before else USUAL[name]
            numbers[name] = self._screen.number(say(name), least, most, usual)
        sensor = self._screen.text(say("sensor"), before.sensor if before else "")
        return Mounting(numbers["height_mm"], numbers["spacing_mm"], numbers["width_mm"], sensor[:80])

    def _align(self, seconds: float) -> Alignment | None:
        """Quiet with nobody in the door, and then both beams broken by one who walks: None if skipped."""
        screen = self._screen
        screen.heading(say("alignment"))
        while True:
            screen.line(say("alignment_do", seconds=seconds))
            if screen.skipped():
                return None
            found = self._watch_empty_door(seconds)
            if found.passed:
                screen.line("✓ " + say("alignment_quiet"))
                found = self._watch_one_walk(found)
            if found.passed:
                screen.line("✓ " + say("alignment_good"))
                return found
            for barrier, what in self._complaints(found):
                screen.line("✗ " + say("alignment_bad", barrier=barrier, what=what))
            if not screen.again():
                return found

    def _complaints(self, found: Alignment) -> list[tuple[int, str]]:
        """(barrier, what is wrong with a beam of it)"""
        complaints = []
        for i, barrier in enumerate(self._barriers):
            for beam, name in enumerate(BEAMS):
                if found.changes[i][beam] > CHATTER:
                    what = say(f"chatter_{name}", n=found.changes[i][beam])
                elif found.beams[i] >> beam & 1:
                    what = say(f"broken_{name}")
                elif found.unseen and found.unseen[i] >> beam & 1:
                    what = say(f"unseen_{name}")
                else:
                    continue
                complaints.append((barrier, what))
        return complaints

    def _watch_empty_door(self, seconds: float) -> Alignment:
        total = dict.fromkeys(self._barriers, (0, 0))
        beams: Mapping[int, int] = {}
        try:
            self._look_at_beams()
            began = time.monotonic()  # only now: a node may take longer to answer than the door is watched
            while (left := began + seconds - time.monotonic()) > 0:
                time.sleep(min(left, ALIGN_EVERY_S))
                beams, changes = self._look_at_beams()
                total = {n: (total[n][0] + changes[n][0], total[n][1] + changes[n][1]) for n in total}
                self._screen.status(f"{time.monotonic() - began:.0f} / {seconds:.0f} s")
        finally:
            self._screen.status_ends()
            self._link.command("align", on=False)
        return Alignment(
            seconds,
            tuple(beams[n] for n in self._barriers),
            tuple(total[n] for n in self._barriers),
            passed=not any(beams.values()) and all(max(of_beams) <= CHATTER for of_beams in total.values()),
        )

    def _watch_one_walk(self, quiet: Alignment) -> Alignment:
        """Until somebody has broken every beam and is through, or Enter says that there will be no more."""
        unseen = dict(self._beams)
        beams: Mapping[int, int] = {}
        try:
            self._look_at_beams()
            self._screen.line(say("alignment_walk"))
            while (any(unseen.values()) or any(beams.values())) and self._screen.typed(ALIGN_EVERY_S) is None:
                beams, changes = self._look_at_beams()
                unseen = {n: left & ~_changed(changes[n]) for n, left in unseen.items()}
                self._screen.status("   ".join(self._seen(n, left) for n, left in unseen.items()))
        finally:
            self._screen.status_ends()
            self._link.command("align", on=False)
        if not any(unseen.values()):
            self._settle()  # this passage is told later than the beams are seen, and belongs to no step
        return msgspec.structs.replace(
            quiet, unseen=tuple(unseen[n] for n in self._barriers), passed=not any(unseen.values())
        )

    def _seen(self, barrier: int, unseen: int) -> str:
        """Which beams of a barrier have seen somebody, for the live line."""
        marks = {
            name: "✓" if not unseen >> beam & 1 else "-"
            for beam, name in enumerate(BEAMS)
            if self._beams[barrier] >> beam & 1
        }
        beams = ", ".join(say(f"seen_{name}", mark=mark) for name, mark in marks.items())
        return say("alignment_seen", barrier=barrier, beams=beams)

    def _look_at_beams(self) -> tuple[dict[int, int], dict[int, tuple[int, int]]]:
        """By barrier: bits of the beams that are broken now, and the changes of each since the look before."""
        told = self._link.command("align", on=True)
        changes = {n: (int(told["changes"][n][0]), int(told["changes"][n][1])) for n in self._barriers}
        return {n: int(told["beams"][n]) for n in self._barriers}, changes

    def _walk(self, step: Step) -> StepResult:
        screen = self._screen
        while True:
            self._forget()
            screen.line(say(step.id + "_do", **msgspec.structs.asdict(step)))
            screen.line(say("step_end"))
            answer = screen.answer(self._show_count).lower()
            if answer == "s":
                if self._counted.total:
                    self._settle()
                screen.status_ends()
                screen.line(say("skipped"))
                return acceptance.skipped(step)
            counted = self._settle()
            if answer == "r":
                continue
            found = acceptance.result_of(step, counted, single_beam=self._kept.single_beam)
            screen.line(self._verdict(found))
            if found.passed is not False:
                return found
            for key in acceptance.advice(acceptance.only(self._kept, found)):
                screen.line("  " + say("do_" + key))
            screen.line(say("again_or_on"))
            if not screen.again():
                return found

    def _verdict(self, found: StepResult | Tally) -> str:
        people = found.people_in + found.people_out
        values = {"people": people, "right": found.right, "missed": found.missed, "extra": found.extra}
        if found.passed is None:
            return say("noted", counted=found.counted.total, people=people)
        if people:
            return say("good" if found.passed else "bad", **values)
        return say("good_none" if found.passed else "bad_none", **values)

    def _tally(self) -> Tally | None:
        self._screen.heading(say("tally"))
        while True:
            self._screen.line(say("tally_do"))
            if self._screen.skipped():
                return None
            self._forget()
            count_by_hand = self._count_totals if self._totals else self._count_keys
            people, counted, minutes = count_by_hand()
            if not sum(people):
                self._screen.line(say("tally_nobody"))
                if self._screen.again():
                    continue
                return None
            found = acceptance.tally_of(minutes, *people, counted, single_beam=self._kept.single_beam)
            if self._kept.single_beam:
                self._screen.line(say("tally_result_single", people=sum(people), n=counted.total))
            else:
                self._screen.line(
                    say(
                        "tally_result",
                        people_in=people[0],
                        people_out=people[1],
                        n_in=counted.n_in,
                        n_out=counted.n_out,
                    )
                )
            self._screen.line(self._verdict(found))
            if not found.passed:
                self._screen.line(say("again_or_on"))
                if self._screen.again():
                    continue
            return found

    def _count_totals(self) -> tuple[tuple[int, int], Counted, float]:
        """(people in and out by hand, what the node counted, minutes)"""
        began = time.monotonic()
        self._screen.line(say("tally_running", time=dt.datetime.now().astimezone().strftime("%H:%M:%S")))

        def show() -> None:
            self._count()
            self._screen.status(say("tally_time", minutes=int((time.monotonic() - began) / 60)))

        self._screen.answer(show)
        minutes = (time.monotonic() - began) / 60
        counted = self._settle()
        n_in = self._screen.number(say("tally_in"), 0, 100_000)
        return (n_in, self._screen.number(say("tally_out"), 0, 100_000)), counted, minutes

    def _count_keys(self) -> tuple[tuple[int, int], Counted, float]:
        """As _count_totals, with a key for each person."""
        began = time.monotonic()
        pressed: list[str] = []
        key = ""
        with self._screen.keyboard.single_keys():  # before it is said: a key that came first would be lost
            self._screen.line(say("tally_keys"))
            while key != "q":
                self._count(0.02)
                minutes = (time.monotonic() - began) / 60
                n_in, n_out = pressed.count("i"), pressed.count("o")
                self._screen.status(say("tally_live", minutes=f"{minutes:.1f}", n_in=n_in, n_out=n_out))
                key = self._screen.keyboard.key(0.05)
                if key in ("i", "o"):
                    pressed.append(key)
                elif key == "u" and pressed:
                    pressed.pop()
        self._screen.status_ends()
        return (n_in, n_out), self._settle(), minutes


def _changed(changes: tuple[int, int]) -> int:
    """The beams that changed, as bits."""
    return bool(changes[0]) | bool(changes[1]) << 1
