"""The command `log`: the console's last lines, or the text of the last crashes, in parts. Loaded for the moment only.

{"do":"log","from":0} begins with the oldest line; the answer has "text" (whole lines, each with its second since boot),
"next" (what to send as "from" for what follows) and "more". {"do":"log","of":"crash"} reads crash.txt in the same way.
"""

from node import flash
from node.console import printed

CRASH_FILE = "crash.txt"
_PART_BYTES = 800  # JSON may double it


def answer(values):
    """The answer's items. ValueError where `from` is no number."""
    since = values.get("from", 0)
    if isinstance(since, bool) or not isinstance(since, int) or since < 0:
        raise ValueError('"from" is %s, expected a whole number' % since)
    of = values.get("of", "console")
    if of == "crash":
        text = flash.read(CRASH_FILE) or ""
        part = text[since : since + _PART_BYTES]
        return {"from": since, "text": part, "next": since + len(part), "more": since + len(part) < len(text)}
    if of != "console":
        raise ValueError('"of" is %s, expected "console" or "crash"' % of)
    begins, text, following = printed.kept(since, _PART_BYTES)
    return {"from": begins, "text": text, "next": following, "more": following < printed.end}
