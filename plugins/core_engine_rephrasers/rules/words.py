"""Word classes of English, as far as the rules need them. All in lower case."""

from __future__ import annotations

import re


def each_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


BE = each_of("is are was were")
DO = each_of("do does did")
MODALS = each_of("can could should would will must may might")
HAVE = each_of("has have had")
AUXILIARIES = BE | DO | MODALS | HAVE
#: With "not" in them, and without.
NEGATED = {"can't": "can", "won't": "will"} | {f"{word}n't": word for word in AUXILIARIES - {"can", "will", "may"}}

WH = each_of("what which who whom whose why how when where")

#: A subject in itself, so that what follows is the verb.
PRONOUNS = each_of("i you he she it we they anyone anybody someone somebody there")
#: A subject in itself, or the beginning of one.
DEMONSTRATIVES = each_of("this that these those each one")
DETERMINERS = each_of("a an the my your our their its his her any some every no all both")
PREPOSITIONS = each_of(
    "of in on at to for from with without by over under between about into than as after before during through "
    "per against across within out up behind beyond despite since until via upon off besides unlike"
)
#: Where a clause within the question begins, behind which no main verb is looked for.
CLAUSE_STARTS = each_of("if when that because while although whether so where why how what which who")

#: Known adjectives and participles that begin what is said of the subject of "be".
PREDICATES = each_of(
    "able active afraid allowed asked available aware bad based best better blamed built called careful certain "
    "cheap cheaper clear close comparable complete considered correct dangerous deprecated designed different "
    "difficult done easier easy effective efficient enough equal equivalent essential expected expensive fair "
    "fast faster fitted free frowned good great guaranteed happening hard harder harmful healthy helpful "
    "identical important impossible independent interchangeable known large larger less likely limited linear "
    "looking made mandatory meant missing more most necessary needed normal open optional poor popular possible "
    "preferable preferred quadratic ready reasonable related reliable required right risky robust safe safer same "
    "scored sensitive significant similar slow slower small smaller special stable stored stuck such suitable "
    "suited supposed sure trained treated true typical unsafe used useful valid worse worst worth wrong"
)
#: What "what is ..." may be followed by where "what" is itself the subject.
SUBJECTLESS = each_of("going happening wrong meant new special better best worse so more left needed")

#: Adverbs that stand before the verb or the predicate.
ADVERBS = each_of(
    "actually also always even ever exactly first generally just never not often only originally probably rarely "
    "really simply sometimes still suddenly then typically usually so too very quite"
)
#: Those that stand before nothing but a verb or a predicate.
VERB_ADVERBS = each_of("actually always ever never often rarely really still suddenly sometimes typically usually")

_TOKEN = re.compile(r"['\"“‘][^'\"”’]*['\"”’](?=[\s,.;:?!]|$)[,;:]?|\S+")  # noqa: RUF001 -- quotes as people type them


def tokens(text: str) -> list[str]:
    """The words with the punctuation on them; what stands in quotes is one word."""
    return _TOKEN.findall(text)


def bare(token: str) -> str:
    """A word without the punctuation behind it, in lower case."""
    return token.rstrip(",;:").lower()
