"""Words without what leads to somebody: letters without names for the wall, replies without addresses. Pure.

Of a letter it is a first proposal, which a moderator mends before anybody sees it.

Numbers, addresses and links are found by their form; a name is a capital letter where the language asks for none, or
the word after a salutation. Too much is taken rather than too little; a name that begins a sentence is not found.
"""

from __future__ import annotations

import re
from typing import Final

from web.moderation.traces import find_traces

GAP: Final = "[…]"

_LONG: Final = 30
"""Characters without a space that no word has: a link's token, even if a mail program broke its line."""
_ADDRESS: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{1,20}://\S{1,2000}|\bwww\.\S{1,2000}|mailto:\S{1,2000}"
    r"|[^\s<>()\[\],;:\"@]{1,64}@[^\s<>()\[\],;:\"@]{1,255}"
    rf"|\S{{{_LONG},}}"
)
_GAPS: Final = re.compile(r"<?\[…\]>?(?:\s{1,3}<?\[…\]>?)*")

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_ENDS: Final = frozenset(".!?…:\n")
_SALUTATIONS: Final = "dear hi hello hey mr mrs ms cher chère chers chères salut bonjour coucou madame monsieur mme"
_CAPITALS: Final = (
    "i i'm i've i'd i'll ok sms god dieu noël christmas january february march april may june july august september "
    "october november december monday tuesday wednesday thursday friday saturday sunday english french"
)
_AFTER: Final = frozenset(_SALUTATIONS.split())
_ORDINARY: Final = frozenset(_CAPITALS.split())
_SPEAKING: Final = frozenset(["i", "i'm", "i've", "i'd", "i'll"])
_CLOSING: Final = 3
"""A last line of so few words is a name under the letter."""


def without_names(message: str) -> str:
    """`message` with a gap wherever somebody could be known by it."""
    spans = [(found.start, found.end) for found in find_traces(message)]
    salutes, last = False, 0
    for match in _WORD.finditer(message):
        between, word = message[last : match.start()], match[0]
        starts = not last or any(mark in _ENDS for mark in between)
        named = word[0].isupper() and word.replace("’", "'").lower() not in _ORDINARY
        if named and (not starts or (salutes and not between.strip())):
            spans.append(match.span())
        salutes = word.lower() in _AFTER or (salutes and named and not between.strip())
        last = match.end()
    spans += _closing(message)
    return _cut(message, spans)


def without_addresses(words: str) -> str:
    """`words` with a gap for each link, each mail address and whatever looks like a part of one."""
    return _GAPS.sub(GAP, _ADDRESS.sub(GAP, words))


def _closing(message: str) -> list[tuple[int, int]]:
    """The last line, if it is a name and there is a letter above it."""
    head, _, tail = message.rstrip().rpartition("\n")
    words = _WORD.findall(tail)
    if not head or not 0 < len(words) <= _CLOSING or not words[0][0].isupper():
        return []
    if len(words) > 1 and words[0].replace("’", "'").lower() in _SPEAKING:
        return []  # "I miss you."
    return [(len(head) + 1, len(head) + 1 + len(tail))]


def _cut(message: str, spans: list[tuple[int, int]]) -> str:
    parts: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if start >= at:
            between = message[at:start]
            # "Anna Maria" leaves one gap.
            if not (parts and parts[-1] == GAP and not between.strip() and "\n" not in between):
                parts += [between, GAP]
        at = max(at, end)
    return "".join(parts) + message[at:]
