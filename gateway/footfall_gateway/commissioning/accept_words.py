"""What `footfall accept` says, in English and German: one table, so that neither language lacks a sentence. Used by `accept_cli`."""

from footfall_gateway.commissioning.language import LANGUAGES

__all__ = ["WORDS", "Say"]

# key -> (English, German)
WORDS: dict[str, tuple[str, str]] = {
    "title": ("Acceptance of door {door}, {site}", "Abnahme der Tür {door}, {site}"),
    "node_is": (
        "Node {node}, firmware {firmware}, over {way}. Counting goes on; those who walk in this test are counted too.",
        "Knoten {node}, Firmware {firmware}, über {way}. Es wird weiter gezählt; wer hier zur Probe geht, zählt mit.",
    ),
    "two_people": (
        "Best done by two: one walks, one types. Keep others out of the door meanwhile.",
        "Am besten zu zweit: Einer geht, einer tippt. Andere sollen die Tür so lange nicht benutzen.",
    ),
    "keep_hint": (
        "Ctrl-C or q ends it; what is done is kept, and the same command goes on from there.",
        "Strg-C oder q beendet; Erledigtes bleibt erhalten, derselbe Befehl macht dort weiter.",
    ),
    "continue": (
        "An acceptance of {when} was broken off after {done} of {all} steps. Go on with it?",
        "Eine Abnahme vom {when} wurde nach {done} von {all} Schritten abgebrochen. Dort weitermachen?",
    ),
    "yes_no": (" [y/n] ", " [j/n] "),
    "mounting": ("How it is mounted", "Wie sie montiert ist"),
    "height_mm": ("Height of the beams above the floor, mm", "Höhe der Lichtschranken über dem Boden, mm"),
    "spacing_mm": ("Distance between the two beams, mm", "Abstand der beiden Lichtschranken, mm"),
    "width_mm": ("Clear width of the passage, mm", "Lichte Breite des Durchgangs, mm"),
    "sensor": ("Sensor (type)", "Sensor (Typ)"),
    "a_number": (
        "  please a whole number from {least} to {most}",
        "  bitte eine ganze Zahl von {least} bis {most}",
    ),
    "alignment": ("Alignment", "Ausrichtung"),
    "alignment_do": (
        "Nobody in the door for {seconds:.0f} s, please. Enter begins (s: skip).",
        "Bitte {seconds:.0f} s lang niemand in die Tür. Enter beginnt (s: überspringen).",
    ),
    "alignment_quiet": ("Both beams free, no chatter.", "Beide Lichtschranken frei, kein Flattern."),
    "alignment_walk": (
        "Now one person walks through once (Enter: go on without).",
        "Nun geht einer einmal hindurch (Enter: ohne das weiter).",
    ),
    "alignment_seen": ("barrier {barrier}: {beams}", "Lichtschranke {barrier}: {beams}"),
    "seen_outer": ("outer {mark}", "äußere {mark}"),
    "seen_inner": ("inner {mark}", "innere {mark}"),
    "alignment_good": ("Every beam has seen somebody.", "Jede Lichtschranke hat jemanden gesehen."),
    "alignment_bad": (
        "Barrier {barrier}: {what}. Aim it (footfall node align), then r: again; Enter: go on all the same.",
        "Lichtschranke {barrier}: {what}. Ausrichten (footfall node align), dann r: noch einmal; Enter: trotzdem weiter.",
    ),
    "broken_outer": ("the outer beam is broken", "die äußere ist unterbrochen"),
    "broken_inner": ("the inner beam is broken", "die innere ist unterbrochen"),
    "unseen_outer": ("the outer beam saw nobody walk", "die äußere hat niemanden gesehen"),
    "unseen_inner": ("the inner beam saw nobody walk", "die innere hat niemanden gesehen"),
    "chatter_outer": ("the outer beam changed {n} times", "die äußere hat {n}-mal gewechselt"),
    "chatter_inner": ("the inner beam changed {n} times", "die innere hat {n}-mal gewechselt"),
    "step": ("Step {number} of {all}: {name}", "Schritt {number} von {all}: {name}"),
    "step_end": (
        "Enter: done   r: again   s: skip   q: stop here",
        "Enter: fertig   r: noch einmal   s: überspringen   q: hier aufhören",
    ),
    "live": ("counted: {n_in} in, {n_out} out", "gezählt: {n_in} hinein, {n_out} hinaus"),
    "live_unknown": ("counted: {n_unknown}", "gezählt: {n_unknown}"),
    "settling": ("waiting for the last ones …", "warte auf die letzten …"),
    "good": ("✓ right: {right} of {people}", "✓ richtig: {right} von {people}"),
    "good_none": ("✓ nothing counted, as it should be", "✓ nichts gezählt, so soll es sein"),
    "bad": (
        "✗ {right} of {people} right, {missed} missed, {extra} too many",
        "✗ {right} von {people} richtig, {missed} verpasst, {extra} zu viel",
    ),
    "bad_none": ("✗ {extra} counted, but nobody went through", "✗ {extra} gezählt, obwohl niemand durchging"),
    "noted": (
        "noted: {counted} of {people} counted (people side by side are one to a light barrier)",
        "notiert: {counted} von {people} gezählt (nebeneinander sind zwei für eine Lichtschranke einer)",
    ),
    "again_or_on": ("r: again   Enter: go on", "r: noch einmal   Enter: weiter"),
    "skipped": ("skipped", "übersprungen"),
    "fault_outer": (
        "The outer beam counts as blocked: the node does not count now.",
        "Die äußere Lichtschranke gilt als verdeckt: Der Knoten zählt jetzt nicht.",
    ),
    "fault_inner": (
        "The inner beam counts as blocked: the node does not count now.",
        "Die innere Lichtschranke gilt als verdeckt: Der Knoten zählt jetzt nicht.",
    ),
    "is_away": (
        "The node has lost its connection; what it counts comes later. Wait until it is back.",
        "Der Knoten hat keine Verbindung mehr; was er zählt, kommt später. Bitte warten, bis er wieder da ist.",
    ),
    "is_back": (
        "The node is back. If it had no power, do this step again (r).",
        "Der Knoten ist wieder da. War er ohne Strom, diesen Schritt noch einmal machen (r).",
    ),
    "in": ("in, one by one", "hinein, einzeln"),
    "in_do": (
        "Walk in {repeats} times, one person after the other, at your usual pace.",
        "{repeats}-mal hineingehen, einer nach dem anderen, im gewohnten Schritt.",
    ),
    "out": ("out, one by one", "hinaus, einzeln"),
    "out_do": (
        "Walk out {repeats} times, one person after the other.",
        "{repeats}-mal hinausgehen, einer nach dem anderen.",
    ),
    "turn_back": ("turning back", "umkehren"),
    "turn_back_do": (
        "{repeats} times: step into the beams and go back to where you came from. Nothing may be counted.",
        "{repeats}-mal: in die Lichtschranken treten und dorthin zurückgehen, woher Sie kamen. Gezählt werden darf nichts.",
    ),
    "stop": ("standing still", "stehen bleiben"),
    "stop_do": (
        "{repeats} times in: stand in the beams for about 5 s, then walk on.",
        "{repeats}-mal hinein: etwa 5 s in den Lichtschranken stehen bleiben, dann weitergehen.",
    ),
    "bag": ("with bag or umbrella", "mit Tasche oder Schirm"),
    "bag_do": (
        "With a bag or an open umbrella: {people_in} times in and {people_out} times out.",
        "Mit Tasche oder offenem Schirm: {people_in}-mal hinein und {people_out}-mal hinaus.",
    ),
    "fast": ("fast", "schnell"),
    "fast_do": ("{repeats} times in, in a hurry.", "{repeats}-mal hinein, in Eile."),
    "pairs": ("two side by side", "zwei nebeneinander"),
    "pairs_do": (
        "{repeats} times in, two people side by side. Loss is expected here; it is noted, not judged.",
        "{repeats}-mal hinein, zwei Personen nebeneinander. Verlust ist hier zu erwarten; er wird notiert, nicht bewertet.",
    ),
    "door_leaf": ("door leaf", "Türflügel"),
    "door_leaf_do": (
        "Open and close the door {repeats} times, without anybody walking through. Nothing may be counted.",
        "Die Tür {repeats}-mal öffnen und schließen, ohne dass jemand durchgeht. Gezählt werden darf nichts.",
    ),
    "tally": ("Counting by hand", "Von Hand zählen"),
    "tally_do": (
        (
            "Now the door as it is used: count everybody yourself for 10 to 15 minutes. The node's count is shown afterwards, so that "
            "it does not lead you. Enter begins (s: skip)."
        ),
        (
            "Nun die Tür im Betrieb: 10 bis 15 Minuten lang alle selbst zählen. Die Zählung des Knotens wird erst danach gezeigt, damit "
            "sie nicht beeinflusst. Enter beginnt (s: überspringen)."
        ),
    ),
    "tally_keys": (
        "i: one in   o: one out   u: undo the last   q: finished",
        "i: einer hinein   o: einer hinaus   u: letzten zurücknehmen   q: fertig",
    ),
    "tally_running": (
        "Running since {time}. Enter ends it; then the totals are asked for.",
        "Läuft seit {time}. Enter beendet; dann wird nach den Summen gefragt.",
    ),
    "tally_live": (
        "{minutes} min: {n_in} in, {n_out} out by hand",
        "{minutes} min: {n_in} hinein, {n_out} hinaus von Hand",
    ),
    "tally_time": ("{minutes} min", "{minutes} min"),
    "tally_in": ("By hand, in", "Von Hand, hinein"),
    "tally_out": ("By hand, out", "Von Hand, hinaus"),
    "tally_nobody": (
        "nobody passed: that says nothing; come back at a busy time (r: again, Enter: go on)",
        "niemand kam durch: Das sagt nichts; zu belebter Zeit wiederkommen (r: noch einmal, Enter: weiter)",
    ),
    "tally_result": (
        "by hand {people_in} in, {people_out} out; the node {n_in} in, {n_out} out",
        "von Hand {people_in} hinein, {people_out} hinaus; der Knoten {n_in} hinein, {n_out} hinaus",
    ),
    "tally_result_single": ("by hand {people}; the node {n}", "von Hand {people}; der Knoten {n}"),
    "result": ("Result", "Ergebnis"),
    "passed": ("PASSED", "BESTANDEN"),
    "failed": ("NOT PASSED", "NICHT BESTANDEN"),
    "incomplete": ("NOT COMPLETE", "UNVOLLSTÄNDIG"),
    "share": (
        "{right} of {of} right: {share:.1f} % (95 % interval {low:.1f} to {high:.1f} %)",
        "{right} von {of} richtig: {share:.1f} % (95-%-Bereich {low:.1f} bis {high:.1f} %)",
    ),
    "limits": (
        "Limits: at most one in twenty wrong (in short steps: one); nothing counted where nobody passed.",
        "Grenzen: höchstens jeder Zwanzigste falsch (in kurzen Schritten: einer); nichts gezählt, wo niemand durchging.",
    ),
    "what_to_do": ("What to do", "Was zu tun ist"),
    "kept": ("Kept: {path}", "Aufbewahrt: {path}"),
    "goes_on": (
        "Kept: {path}\nThe same command goes on from here; a part that was begun is done anew.",
        "Aufbewahrt: {path}\nDerselbe Befehl macht hier weiter; ein begonnener Teil wird neu gemacht.",
    ),
    "none_kept": (
        "no acceptance of this door is kept in {folder}",
        "in {folder} liegt keine Abnahme dieser Tür",
    ),
    "protocol": ("Protocol of acceptance", "Abnahmeprotokoll"),
    "col_step": ("What was done", "Was getan wurde"),
    "col_true": ("in / out", "hinein / hinaus"),
    "col_counted": ("counted", "gezählt"),
    "col_verdict": ("verdict", "Urteil"),
    "ok": ("passed", "bestanden"),
    "not_ok": ("not passed", "nicht bestanden"),
    "only_noted": ("noted", "notiert"),
    "when": ("When", "Wann"),
    "node": ("Node", "Knoten"),
    "mounted": (
        "beams {height_mm} mm above the floor, {spacing_mm} mm apart; passage {width_mm} mm wide; {sensor}",
        "Lichtschranken {height_mm} mm über dem Boden, {spacing_mm} mm auseinander; Durchgang {width_mm} mm breit; {sensor}",
    ),
    "not_asked": ("not stated", "nicht angegeben"),
    "not_done": ("not done", "nicht gemacht"),
    "signature": ("Place, date, signature:", "Ort, Datum, Unterschrift:"),
    "tally_row": ("Counted by hand for {minutes:g} min", "{minutes:g} min von Hand gezählt"),
    "alignment_row": ("Alignment, {seconds:g} s", "Ausrichtung, {seconds:g} s"),
    # what to do
    "do_alignment": (
        "Aim the beams until both are free and do not chatter: footfall node align. Keep the sun off the receivers.",
        "Lichtschranken ausrichten, bis beide frei sind und nicht flattern: footfall node align. Sonne vom Empfänger fernhalten.",
    ),
    "do_swapped": (
        "In and out are swapped: exchange the two cables, or the pins of outer and inner (footfall flash --new-settings). Then do the walk anew.",
        "Hinein und hinaus sind vertauscht: die beiden Kabel tauschen oder die Anschlüsse von outer und inner (footfall flash --new-settings). Dann die Gehprobe wiederholen.",
    ),
    "do_mixed": (
        "Some who go in are counted out, or the other way round: the beams are too close together or not parallel, or one receiver sees the other's light. Set them 80 to 120 mm apart.",
        "Manche, die hineingehen, werden als hinaus gezählt, oder umgekehrt: Die Lichtschranken liegen zu dicht beieinander oder nicht parallel, oder ein Empfänger sieht das Licht der anderen. 80 bis 120 mm Abstand halten.",
    ),
    "do_misses": (
        "It misses people: aim anew, check that both beams lie at the same height (1100 mm suits most), and that nobody fits past them.",
        "Es fehlen Leute: neu ausrichten; prüfen, ob beide Lichtschranken gleich hoch liegen (meist passen 1100 mm) und niemand an ihnen vorbeikommt.",
    ),
    "do_too_much": (
        "It counts too many: mount the beams higher (legs, bags and hands break them), or raise min_block_ms: footfall node config --set.",
        "Es wird zu viel gezählt: Lichtschranken höher setzen (Beine, Taschen und Hände unterbrechen sie), oder min_block_ms erhöhen: footfall node config --set.",
    ),
    "do_tally": (
        "The count in use is more than 5 % off: aim anew and repeat. If people come side by side, narrow the passage or split it.",
        "Im Betrieb liegt die Zählung mehr als 5 % daneben: neu ausrichten und wiederholen. Kommen Leute nebeneinander, den Durchgang verengen oder teilen.",
    ),
    "do_turn_back": (
        "Turning back is counted: set the beams 80 to 120 mm apart, both at the same height, and parallel.",
        "Umkehren wird gezählt: Lichtschranken 80 bis 120 mm auseinander setzen, beide gleich hoch und parallel.",
    ),
    "do_door_leaf": (
        "The door leaf is counted: mount the beams at least 100 mm outside its swing.",
        "Der Türflügel wird gezählt: Lichtschranken mindestens 100 mm außerhalb seines Schwenkbereichs setzen.",
    ),
    "do_height": (
        "The height is unusual: below 900 mm legs count, above 1300 mm short people and children are missed. State it in the report.",
        "Die Höhe ist ungewöhnlich: Unter 900 mm zählen Beine, über 1300 mm fehlen Kinder und kleine Leute. Im Bericht angeben.",
    ),
    "do_spacing": (
        "The distance between the beams is unusual: 80 to 120 mm tells bodies from hands and keeps people apart.",
        "Der Abstand der Lichtschranken ist ungewöhnlich: 80 bis 120 mm unterscheiden Körper von Händen und halten Leute auseinander.",
    ),
    "do_too_wide": (
        "The passage is wider than 1500 mm: people walk side by side and are lost. Split it into lanes.",
        "Der Durchgang ist breiter als 1500 mm: Leute gehen nebeneinander und fehlen. In Spuren teilen.",
    ),
    "do_far_too_wide": (
        "The passage is wider than 2500 mm: a light barrier does not count here. Split it into lanes.",
        "Der Durchgang ist breiter als 2500 mm: Hier zählt keine Lichtschranke. In Spuren teilen.",
    ),
}


class Say:
    """The sentences in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._column = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        return WORDS[key][self._column].format(**values)

    def number(self, text: str) -> str:
        """A number with the language's decimal sign."""
        return text.replace(".", ",") if self.language == "de" else text
