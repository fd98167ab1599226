"""Finds the question in a text: its last sentence with a question mark, and in it where the question begins."""

from __future__ import annotations

import re

from attrs import frozen

from core_engine_rephrasers.rules.words import AUXILIARIES, NEGATED, PREPOSITIONS, WH, bare, each_of, tokens

_ENDS = re.compile(r"[.?!]+['\"”’)]*\s+(?=[\"'“‘(]?[A-Z0-9])")  # noqa: RUF001 -- quotes as people type them
_ABBREVIATIONS = each_of("e.g. i.e. vs. etc. cf. dr. mr. mrs. ms. prof. st. no. fig. corp. inc. ltd. co.")
#: Between something that is said first and the question: "if it rains, what ...", "A or B: which ...".
_LEADS = re.compile(r"(?:^|[,:;] )(?:(?:so|and|but|then),? )?", re.IGNORECASE)

_IS = re.compile("['’]s$")  # noqa: RUF001


@frozen
class Found:
    """A text is ``before + lead + question + "?" + after``. ``lead`` is the part of the last sentence before the
    question proper, empty for most.
    """

    before: str
    lead: str
    question: str
    after: str


def last_question(text: str) -> Found | None:
    """None where the text has no sentence with a question mark, or none with a question word or auxiliary to it."""
    sentences = _sentences(text)
    number = max((i for i, sentence in enumerate(sentences) if sentence.rstrip().endswith("?")), default=None)
    if number is None:
        return None
    sentence = sentences[number]
    core = sentence.rstrip()
    after = sentence[len(core) :] + "".join(sentences[number + 1 :])
    core = core.rstrip("?")
    start = _start(core)
    if start is None:
        return None
    return Found("".join(sentences[:number]), core[:start], core[start:], after.rstrip())


def _sentences(text: str) -> list[str]:
    """The sentences, each with the white space behind it."""
    found, start = [], 0
    for end in _ENDS.finditer(text):
        last = text[start : end.end()].split()[-1].lower().lstrip("(\"'")
        if last not in _ABBREVIATIONS:
            found.append(text[start : end.end()])
            start = end.end()
    return [*found, text[start:]]


def _start(sentence: str) -> int | None:
    if begins_question(sentence):
        return 0
    return next((m.end() for m in _LEADS.finditer(sentence) if begins_question(sentence[m.end() :])), None)


def begins_question(text: str) -> bool:
    words = [_IS.sub("", bare(word)) for word in tokens(text)[:2]]
    if not words:
        return False
    if words[0] in PREPOSITIONS:
        return len(words) > 1 and words[1] in ("what", "which", "whose", "whom")
    # "When it rains, what ..." begins with a clause rather than a question: clauses.py finds no inversion in it.
    return words[0] in WH | AUXILIARIES or words[0] in NEGATED
