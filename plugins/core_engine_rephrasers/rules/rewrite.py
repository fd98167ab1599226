"""All wordings of one text, by every rule that fits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from random import Random

from attrs import evolve

from core_engine_rephrasers.rules import tables
from core_engine_rephrasers.rules.clauses import declarative, indirect
from core_engine_rephrasers.rules.sentences import Found, last_question
from core_engine_rephrasers.rules.words import AUXILIARIES, NEGATED, PREPOSITIONS, PRONOUNS, WH, bare, each_of, tokens

_IS = re.compile(r"\b(what|who|where|how|that|there|it)['’]s\b", re.IGNORECASE)  # noqa: RUF001
#: Words that begin a sentence with a capital for no other reason.
_FUNCTION_WORDS = WH | AUXILIARIES | PREPOSITIONS | PRONOUNS | frozenset(NEGATED) | each_of(
    "the a an this that these those my our your please quick here maybe something if while although given so"
) - {"i"}  # fmt: skip

#: Words of a term that one asks the meaning of.
_LONGEST_TERM = 3
#: Questions whose clause nobody would say, or that are requests already; the patterns have something better for them.
_OWN_FORM = tables.compiled(
    "(?:how (?:do (?:i|we|you|one)|to)|why (?:not|BASE)|(?:could|can|would) (?:you|someone|anyone|somebody) "
    "(?:please|explain|describe|tell|show|help)) .+"
)


def wordings(text: str, random: Random) -> list[str]:
    """Other wordings of ``text``, each once, the more different ones first; ``random`` decides among like ones.

    Only the last question of the text is changed. Empty where no rule fits.
    """
    found = last_question(text)
    if found is None:
        return []
    found = evolve(found, question=_IS.sub(r"\1 is", found.question))
    tiers = [
        list(_by_pattern(found)),
        list(_by_clause(found)),
        list(_by_noun(found)),
        list(_by_frame(found)),
        list(_by_synonym(found)),
    ]
    for tier in tiers:
        random.shuffle(tier)
    whole = [f"{found.before}{sentence}{found.after}".strip() for tier in tiers for sentence in tier]
    return [wording for wording in dict.fromkeys(whole) if wording != text.strip()]


def _by_pattern(found: Found) -> Iterator[str]:
    for pattern, templates in _patterns():
        match = pattern.fullmatch(found.question)
        if match is None:
            continue
        parts = {key: value for key, value in match.groupdict().items() if value is not None}
        if "base" in parts:
            parts["vp"] = f"{parts['base']} {parts['vp']}"
        parts = {key: value.lower() if key in ("wh", "base") else value for key, value in parts.items()}
        if not _simple(parts):
            return
        for template in templates:
            yield _joined(found, template.format(**parts))
        return


def _simple(parts: dict[str, str]) -> bool:
    """Whether what is filled in is one thing: no second question, and nothing cut within an enumeration."""
    if any(re.search(r",? (?:and|or) (?:what|how|why|when|where|which|who)\b", value) for value in parts.values()):
        return False
    return not ("x" in parts and "y" in parts and (" and " in parts["x"] or " and " in parts["y"]))


def _by_clause(found: Found) -> Iterator[str]:
    question = found.question
    first, _, rest = question.partition(" ")
    if bare(first) in NEGATED:
        statement = declarative(NEGATED[bare(first)], tokens(rest))
        if statement is not None and " " in statement:
            for frame in tables.EXPECTED_FRAMES:
                yield _joined(found, frame.format(statement=re.sub(r"^that ", "this ", statement)))
        return
    clause = None if _OWN_FORM.fullmatch(question) else indirect(question)
    if clause is None or " " not in question:
        return
    whether = clause.startswith("whether ")
    for frame in tables.WHETHER_FRAMES if whether else tables.CLAUSE_FRAMES:
        yield _joined(found, frame.format(clause=clause))
    if whether and ", or whether " not in clause:
        for frame in tables.STATEMENT_FRAMES:
            yield _joined(found, frame.format(statement=clause.removeprefix("whether ")))
    if (
        re.match(r"(why|how) ", clause)
        and not found.lead + found.before
        and not re.match(r"how (come|long|large|much|many)", clause)
    ):
        yield f"{clause[0].upper()}{clause[1:]}"
    if clause.startswith("why ") and " and " not in clause:
        reason = clause.removeprefix("why ")
        yield _joined(found, f"how come {reason}?")
        yield _joined(found, f"what is the reason that {reason}?")


def _by_noun(found: Found) -> Iterator[str]:
    match = re.fullmatch(r"what (is|are) ([^,;:]+)", found.question, re.IGNORECASE)
    if match is None:
        return
    auxiliary, noun = match[1].lower(), match[2]
    clause = indirect(found.question)
    if clause == f"what {noun} {auxiliary}":
        short = len(noun.split()) <= _LONGEST_TERM and not noun.startswith(("the ", "my ", "our "))
        frames = tables.NOUN_FRAMES + (tables.DEFINITION_FRAMES if short else ())
    elif clause is None and noun.startswith("the ") and not _has_verb(noun):
        frames = tables.NOUN_FRAMES
    else:
        return
    for frame in frames:
        yield _joined(found, frame.format(noun=noun))


def _has_verb(noun: str) -> bool:
    return any(bare(word) in AUXILIARIES | WH for word in noun.split())


def _by_frame(found: Found) -> Iterator[str]:
    if ":" in found.lead + found.question or " " not in found.question:
        return
    question = f"{found.lead}{found.question}?"
    for frame in tables.DIRECT_FRAMES:
        yield _capitalised(frame.format(question=_lowered(question)))


def _by_synonym(found: Found) -> Iterator[str]:
    for word, other in tables.SYNONYMS:
        changed = re.sub(rf"(?<![\w'’-]){word}(?![\w'’-])", other, found.question)  # noqa: RUF001
        if changed != found.question and "'" not in found.question:
            yield _joined(found, f"{changed}?")


def _joined(found: Found, sentence: str) -> str:
    if not found.lead:
        return _capitalised(sentence)
    return found.lead + sentence


def _lowered(sentence: str) -> str:
    first = sentence.split(" ", 1)[0]
    return sentence[0].lower() + sentence[1:] if bare(first) in _FUNCTION_WORDS and first != "I" else sentence


def _capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


@cache
def _patterns() -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
    return [(tables.compiled(pattern), templates) for pattern, templates in tables.PATTERNS]
