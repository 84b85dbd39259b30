"""The protocol of an acceptance: one page of Markdown, to print, sign and keep with the door. Used by `accept_cli`."""

import datetime as dt

import msgspec

from footfall_gateway.commissioning import acceptance
from footfall_gateway.commissioning.accept_words import say, with_decimal_sign
from footfall_gateway.commissioning.acceptance import Acceptance, Counted
from footfall_gateway.settings import Settings

__all__ = ["local_time", "protocol", "share"]


def protocol(one: Acceptance, settings: Settings) -> str:
    """The acceptance on one page, as Markdown."""
    titles = {site.id: site.title for site in settings.sites}
    lines = [
        f"# {say('protocol')}",
        "",
        f"## {say('title', door=one.door, site=titles.get(one.site, one.site))}",
        "",
        f"**{say(one.result)}**: {share(one)}",
        "",
        f"- {say('when')}: {local_time(one.begun_utc)}"
        + (f" ... {local_time(one.finished_utc)}" if one.finished_utc else ""),
        f"- {say('node')}: {one.node}, Firmware {one.firmware}",
        f"- {say('mounting')}: "
        + (say("mounted", **msgspec.structs.asdict(one.mounting)) if one.mounting else say("not_asked")),
        f"- {say('limits')}",
        "",
        f"| {say('col_step')} | {say('col_true')} | {say('col_counted')} | {say('col_verdict')} |",
        "|---|--:|--:|---|",
    ]
    aligned = say("not_done") if one.alignment is None else say("ok" if one.alignment.passed else "not_ok")
    seconds = one.alignment.seconds if one.alignment else 0
    row = say("alignment_row", seconds=seconds) if one.alignment else say("alignment")
    lines.append(f"| {row} | | | {aligned} |")
    done = {step.id: step for step in one.steps}
    for step in one.plan():
        name = f"{step.repeats}x {say(step.id)}"
        found = done.get(step.id)
        true = f"{step.people_in} / {step.people_out}"
        if found is None or found.skipped:
            lines.append(f"| {name} | {true} | | {say('not_done' if found is None else 'skipped')} |")
        else:
            lines.append(
                f"| {name} | {true} | {_counted(found.counted, one)} | {_verdict_word(found.passed)} |"
            )
    if one.tally is None:
        lines.append(f"| {say('tally')} | | | {say('not_done')} |")
    else:
        row = say("tally_row", minutes=one.tally.minutes)
        true = f"{one.tally.people_in} / {one.tally.people_out}"
        lines.append(
            f"| {row} | {true} | {_counted(one.tally.counted, one)} | {_verdict_word(one.tally.passed)} |"
        )
    todo = acceptance.advice(one)
    if todo:
        lines += ["", f"## {say('what_to_do')}", ""] + [f"- {say('do_' + key)}" for key in todo]
    lines += ["", say("signature") + " ______________________________", ""]
    return "\n".join(lines)


def share(one: Acceptance) -> str:
    if not one.of or one.low is None or one.high is None:
        return say("not_done")
    return with_decimal_sign(
        say(
            "share",
            right=one.right,
            of=one.of,
            share=100 * one.right / one.of,
            low=100 * one.low,
            high=100 * one.high,
        )
    )


def _counted(counted: Counted, one: Acceptance) -> str:
    return str(counted.total) if one.single_beam else f"{counted.n_in} / {counted.n_out}"


def _verdict_word(passed: bool | None) -> str:  # noqa: FBT001 - what it is about
    return say("only_noted") if passed is None else say("ok" if passed else "not_ok")


def local_time(utc: str) -> str:
    return dt.datetime.fromisoformat(utc).astimezone().strftime("%Y-%m-%d %H:%M")
