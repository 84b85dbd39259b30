"""What `footfall accept` says, by the names that steps, judgements and advice have elsewhere; German: `german`. Used by `accept_cli`."""

from footfall_gateway.commissioning.language import current, marked, tr

__all__ = ["WORDS", "say", "with_decimal_sign"]

# key -> English
WORDS = {
    "title": marked("Acceptance of door {door}, {site}"),
    "node_is": marked(
        "Node {node}, firmware {firmware}, over {way}. Counting goes on; those who walk in this test are counted too."
    ),
    "two_people": marked("Best done by two: one walks, one types. Keep others out of the door meanwhile."),
    "keep_hint": marked(
        "Ctrl-C or q ends it; what is done is kept, and the same command goes on from there."
    ),
    "continue": marked("An acceptance of {when} was broken off after {done} of {all} steps. Go on with it?"),
    "yes_no": marked(" [y/n] "),
    "mounting": marked("How it is mounted"),
    "height_mm": marked("Height of the beams above the floor, mm"),
    "spacing_mm": marked("Distance between the two beams, mm"),
    "width_mm": marked("Clear width of the passage, mm"),
    "sensor": marked("Sensor (type)"),
    "a_number": marked("  please a whole number from {least} to {most}"),
    "alignment": marked("Alignment"),
    "alignment_do": marked("Nobody in the door for {seconds:.0f} s, please. Enter begins (s: skip)."),
    "alignment_quiet": marked("Both beams free, no chatter."),
    "alignment_walk": marked("Now one person walks through once (Enter: go on without)."),
    "alignment_seen": marked("barrier {barrier}: {beams}"),
    "seen_outer": marked("outer {mark}"),
    "seen_inner": marked("inner {mark}"),
    "alignment_good": marked("Every beam has seen somebody."),
    "alignment_bad": marked(
        "Barrier {barrier}: {what}. Aim it (footfall node align), then r: again; Enter: go on all the same."
    ),
    "broken_outer": marked("the outer beam is broken"),
    "broken_inner": marked("the inner beam is broken"),
    "unseen_outer": marked("the outer beam saw nobody walk"),
    "unseen_inner": marked("the inner beam saw nobody walk"),
    "chatter_outer": marked("the outer beam changed {n} times"),
    "chatter_inner": marked("the inner beam changed {n} times"),
    "step": marked("Step {number} of {all}: {name}"),
    "step_end": marked("Enter: done   r: again   s: skip   q: stop here"),
    "live": marked("counted: {n_in} in, {n_out} out"),
    "live_unknown": marked("counted: {n_unknown}"),
    "settling": marked("waiting for the last ones …"),
    "good": marked("✓ right: {right} of {people}"),
    "good_none": marked("✓ nothing counted, as it should be"),
    "bad": marked("✗ {right} of {people} right, {missed} missed, {extra} too many"),
    "bad_none": marked("✗ {extra} counted, but nobody went through"),
    "noted": marked("noted: {counted} of {people} counted (people side by side are one to a light barrier)"),
    "again_or_on": marked("r: again   Enter: go on"),
    "skipped": marked("skipped"),
    "fault_outer": marked("The outer beam counts as blocked: the node does not count now."),
    "fault_inner": marked("The inner beam counts as blocked: the node does not count now."),
    "is_away": marked("The node has lost its connection; what it counts comes later. Wait until it is back."),
    "is_back": marked("The node is back. If it had no power, do this step again (r)."),
    "in": marked("in, one by one"),
    "in_do": marked("Walk in {repeats} times, one person after the other, at your usual pace."),
    "out": marked("out, one by one"),
    "out_do": marked("Walk out {repeats} times, one person after the other."),
    "turn_back": marked("turning back"),
    "turn_back_do": marked(
        "{repeats} times: step into the beams and go back to where you came from. Nothing may be counted."
    ),
    "stop": marked("standing still"),
    "stop_do": marked("{repeats} times in: stand in the beams for about 5 s, then walk on."),
    "bag": marked("with bag or umbrella"),
    "bag_do": marked("With a bag or an open umbrella: {people_in} times in and {people_out} times out."),
    "fast": marked("fast"),
    "fast_do": marked("{repeats} times in, in a hurry."),
    "pairs": marked("two side by side"),
    "pairs_do": marked(
        "{repeats} times in, two people side by side. Loss is expected here; it is noted, not judged."
    ),
    "door_leaf": marked("door leaf"),
    "door_leaf_do": marked(
        "Open and close the door {repeats} times, without anybody walking through. Nothing may be counted."
    ),
    "tally": marked("Counting by hand"),
    "tally_do": marked(
        "Now the door as it is used: count everybody yourself for 10 to 15 minutes. The node's count is shown afterwards, so that it does not lead you. Enter begins (s: skip)."
    ),
    "tally_keys": marked("i: one in   o: one out   u: undo the last   q: finished"),
    "tally_running": marked("Running since {time}. Enter ends it; then the totals are asked for."),
    "tally_live": marked("{minutes} min: {n_in} in, {n_out} out by hand"),
    "tally_time": marked("{minutes} min"),
    "tally_in": marked("By hand, in"),
    "tally_out": marked("By hand, out"),
    "tally_nobody": marked(
        "nobody passed: that says nothing; come back at a busy time (r: again, Enter: go on)"
    ),
    "tally_result": marked("by hand {people_in} in, {people_out} out; the node {n_in} in, {n_out} out"),
    "tally_result_single": marked("by hand {people}; the node {n}"),
    "result": marked("Result"),
    "passed": marked("PASSED"),
    "failed": marked("NOT PASSED"),
    "incomplete": marked("NOT COMPLETE"),
    "share": marked("{right} of {of} right: {share:.1f} % (95 % interval {low:.1f} to {high:.1f} %)"),
    "limits": marked(
        "Limits: at most one in twenty wrong (in short steps: one); nothing counted where nobody passed."
    ),
    "what_to_do": marked("What to do"),
    "kept": marked("Kept: {path}"),
    "goes_on": marked(
        "Kept: {path}\nThe same command goes on from here; a part that was begun is done anew."
    ),
    "none_kept": marked("no acceptance of this door is kept in {folder}"),
    "protocol": marked("Protocol of acceptance"),
    "col_step": marked("What was done"),
    "col_true": marked("in / out"),
    "col_counted": marked("counted"),
    "col_verdict": marked("verdict"),
    "ok": marked("passed"),
    "not_ok": marked("not passed"),
    "only_noted": marked("noted"),
    "when": marked("When"),
    "node": marked("Node"),
    "mounted": marked(
        "beams {height_mm} mm above the floor, {spacing_mm} mm apart; passage {width_mm} mm wide; {sensor}"
    ),
    "not_asked": marked("not stated"),
    "not_done": marked("not done"),
    "signature": marked("Place, date, signature:"),
    "tally_row": marked("Counted by hand for {minutes:g} min"),
    "alignment_row": marked("Alignment, {seconds:g} s"),
    # what to do
    "do_alignment": marked(
        "Aim the beams until both are free and do not chatter: footfall node align. Keep the sun off the receivers."
    ),
    "do_swapped": marked(
        "In and out are swapped: exchange the two cables, or the pins of outer and inner (footfall flash --new-settings). Then do the walk anew."
    ),
    "do_mixed": marked(
        "Some who go in are counted out, or the other way round: the beams are too close together or not parallel, or one receiver sees the other's light. Set them 80 to 120 mm apart."
    ),
    "do_misses": marked(
        "It misses people: aim anew, check that both beams lie at the same height (1100 mm suits most), and that nobody fits past them."
    ),
    "do_too_much": marked(
        "It counts too many: mount the beams higher (legs, bags and hands break them), or raise min_block_ms: footfall node config --set."
    ),
    "do_tally": marked(
        "The count in use is more than 5 % off: aim anew and repeat. If people come side by side, narrow the passage or split it."
    ),
    "do_turn_back": marked(
        "Turning back is counted: set the beams 80 to 120 mm apart, both at the same height, and parallel."
    ),
    "do_door_leaf": marked("The door leaf is counted: mount the beams at least 100 mm outside its swing."),
    "do_height": marked(
        "The height is unusual: below 900 mm legs count, above 1300 mm short people and children are missed. State it in the report."
    ),
    "do_spacing": marked(
        "The distance between the beams is unusual: 80 to 120 mm tells bodies from hands and keeps people apart."
    ),
    "do_too_wide": marked(
        "The passage is wider than 1500 mm: people walk side by side and are lost. Split it into lanes."
    ),
    "do_far_too_wide": marked(
        "The passage is wider than 2500 mm: a light barrier does not count here. Split it into lanes."
    ),
}


def say(key: str, /, **values: object) -> str:
    """The sentence in the language that is spoken."""
    return tr(WORDS[key], **values)


def with_decimal_sign(text: str) -> str:
    """A number as the language writes it."""
    return text.replace(".", ",") if current() == "de" else text
