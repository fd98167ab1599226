"""From a direct question to the clause that "can you tell me ..." takes: "what is X" -> "what X is"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core_engine_rephrasers.rules import verbs
from core_engine_rephrasers.rules.words import (
    ADVERBS,
    AUXILIARIES,
    BE,
    CLAUSE_STARTS,
    DEMONSTRATIVES,
    DETERMINERS,
    DO,
    HAVE,
    MODALS,
    NEGATED,
    PREDICATES,
    PREPOSITIONS,
    PRONOUNS,
    SUBJECTLESS,
    VERB_ADVERBS,
    WH,
    bare,
    tokens,
)

#: "what is X" with a longer X makes a clause that nobody would say.
_LONGEST_COMPLEMENT = 6
_SECOND = re.compile(
    r"(,?) (and|or) (?=(?:(?:at|for|in|on|to|by) )?(?:what|which|who|whose|why|how|when|where)\b"
    r"|(?:is|are|does|do|can|could|should|would|will) (?:it|they|i|we|you|there|the|a|an|this|that)\b)",
    re.IGNORECASE,
)


def indirect(question: str) -> str | None:
    """The indirect form of a question that begins with a question word or an auxiliary and has no mark at its end.

    A yes-no question becomes "whether ...". Questions that are joined by "and" or "or" are each turned. None where the
    subject cannot be told from the rest with the word lists here.
    """
    pieces = _SECOND.split(question)
    # re.split gives text, comma, conjunction, text, ...
    turned = [_one(piece) for piece in pieces[::3]]
    if any(piece is None for piece in turned):
        return None
    joints = [f"{comma} {word} " for comma, word in zip(pieces[1::3], pieces[2::3], strict=True)]
    return "".join(part or "" for pair in zip(turned, [*joints, ""], strict=True) for part in pair)


def _one(question: str) -> str | None:
    words = tokens(question)
    if not words:
        return None
    first = bare(words[0])
    if first in AUXILIARIES:
        statement = declarative(words[0].lower(), words[1:])
        return None if statement is None else f"whether {statement}"
    start = 1 if first in PREPOSITIONS and len(words) > 1 else 0
    if bare(words[start]) not in WH:
        return None
    words = [words[0].lower(), *words[1:]]
    at = _inverted_auxiliary(words, start + 1)
    second = bare(words[start + 1]) if len(words) > start + 1 else ""
    if at is None and (second in ("one", "come") or second in CLAUSE_STARTS):
        return None  # "which one for X", "how come X" and "what if X" have no verb of their own
    if at is None:
        return " ".join(words)  # the question word is the subject, or there is no verb: the order stays
    phrase, auxiliary, rest = words[:at], words[at].lower(), words[at + 1 :]
    if not rest:
        return None
    if auxiliary in BE and _is_complement(phrase, rest):
        return _with_complement(" ".join(phrase), auxiliary, rest)
    statement = declarative(auxiliary, rest)
    return None if statement is None else f"{' '.join(phrase)} {statement}"


def _inverted_auxiliary(words: Sequence[str], start: int) -> int | None:
    """Where the auxiliary stands that comes before its subject; None where the question word is the subject."""
    for i in range(start, len(words)):
        word = bare(words[i])
        word = NEGATED.get(word, word)
        if word in AUXILIARIES:
            return i if _has_subject_behind(word, words[i + 1 :]) else None
        if word in CLAUSE_STARTS or words[i].endswith(","):
            return None
    return None


def _has_subject_behind(auxiliary: str, rest: Sequence[str]) -> bool:
    if not rest:
        return False
    after = bare(rest[0])
    if auxiliary in DO:
        return True
    if auxiliary in HAVE:
        return after in PRONOUNS | DETERMINERS | DEMONSTRATIVES
    if auxiliary in MODALS:
        return after not in ADVERBS and not verbs.is_base_form(after)
    return not (after in SUBJECTLESS | PREDICATES - {"such"} or after in ADVERBS or after in PREPOSITIONS)


def _is_complement(phrase: Sequence[str], rest: Sequence[str]) -> bool:
    """Whether the question word is what is asked of the subject: "what is X", "where is X", "how old is X"."""
    if len(phrase) == 1:
        return phrase[0] in ("what", "who", "where")
    return len(phrase) == 2 and phrase[0] == "how" and not any(bare(word) in PREPOSITIONS for word in rest)


def _with_complement(wh: str, auxiliary: str, rest: list[str]) -> str | None:
    """What follows "what is": a subject alone, or a subject and what is said of it."""
    first = bare(rest[0])
    if len(rest) > 1 and (first in PRONOUNS or (first in DEMONSTRATIVES and bare(rest[1]) in PREDICATES | {"going"})):
        return f"{wh} {rest[0]} {auxiliary} {' '.join(rest[1:])}"
    at = _predicate(rest, only_words=True)
    if at is not None:
        return f"{wh} {' '.join(rest[:at])} {auxiliary} {' '.join(rest[at:])}"
    if bare(rest[-1]) in ("for", "like", "about", "from", "to") and len(rest) > 1:
        return f"{wh} {' '.join(rest[:-1])} {auxiliary} {rest[-1]}"
    if len(rest) > _LONGEST_COMPLEMENT or any(word.endswith((",", ":", ";")) for word in rest):
        return None
    if any(bare(word) in AUXILIARIES | CLAUSE_STARTS for word in rest):
        return None
    return f"{wh} {' '.join(rest)} {auxiliary}"


def declarative(auxiliary: str, rest: Sequence[str]) -> str | None:
    """The statement that a question with this auxiliary before "subject + rest" is about; None where the subject does
    not end where the word lists can tell.

    The auxiliaries of "do" go into the verb: does + "X fail" -> "X fails".
    """
    if auxiliary == "do":
        return " ".join(rest)
    if NEGATED.get(auxiliary, auxiliary) in BE:
        at = _predicate(rest)
        return None if at is None else " ".join([*rest[:at], auxiliary, *rest[at:]])
    if auxiliary in HAVE:
        at = 1 if bare(rest[0]) in PRONOUNS | DEMONSTRATIVES else rest.index("been") if "been" in rest else None
        return None if at is None or len(rest) <= at else " ".join([*rest[:at], auxiliary, *rest[at:]])
    at = verbs.main_verb(rest)
    if at is None:
        return None
    before = _before_adverbs(rest, at)
    if auxiliary in MODALS or auxiliary in NEGATED:
        return " ".join([*rest[:before], auxiliary, *rest[before:]])
    verb, tail = bare(rest[at]), rest[at][len(bare(rest[at])) :]
    if not verbs.is_base_form(verb):
        return None
    plural = auxiliary == "does" and bare(rest[0]) in ("i", "you", "we", "they")
    inflected = verbs.past(verb) if auxiliary == "did" else verb if plural else verbs.third_person(verb)
    return " ".join([*rest[:at], inflected + tail, *rest[at + 1 :]])


def _before_adverbs(words: Sequence[str], at: int) -> int:
    while at > 1 and bare(words[at - 1]) in ADVERBS:
        at -= 1
    return at


def _predicate(words: Sequence[str], only_words: bool = False) -> int | None:
    """Where in "subject + predicate" of "be" the predicate begins.

    ``only_words``: not at a determiner, which there begins no predicate but goes on with the subject.
    """
    if bare(words[0]) in PRONOUNS and not only_words:
        return 1
    if bare(words[0]) in DEMONSTRATIVES and not only_words and (len(words) == 1 or _begins_predicate(words, 1)):
        return 1
    for i in range(1, len(words)):
        before = bare(words[i - 1])
        if before in CLAUSE_STARTS or words[i - 1].endswith(","):
            return None
        if before in DETERMINERS | PREPOSITIONS | {"and", "or", "more", "less", "very"}:
            continue
        if bare(words[i]) in DETERMINERS - {"any"}:
            if not only_words and not before.endswith("ing") and before not in DEMONSTRATIVES:
                return i
            continue
        if bare(words[i]) in ADVERBS and only_words and bare(words[i]) not in VERB_ADVERBS:
            continue
        progressive = not only_words and i + 1 == len(words) and bare(words[i]).endswith("ing")
        if progressive or _begins_predicate(words, i):
            return i
    return None


def _begins_predicate(words: Sequence[str], i: int) -> bool:
    word = bare(words[i])
    if word in ADVERBS or word.endswith("ly"):
        return i + 1 < len(words)
    if word in DETERMINERS:
        return True
    last = i + 1 == len(words)
    followed = not last and bare(words[i + 1]) in PREPOSITIONS | CLAUSE_STARTS
    return word in PREDICATES or ((last or followed) and re.search(r"(able|ible|ful|ed)$", word) is not None)
