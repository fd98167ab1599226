"""English verbs: which words are verbs, where the main verb stands, and how it is inflected."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core_engine_rephrasers.rules.words import (
    ADVERBS,
    CLAUSE_STARTS,
    DEMONSTRATIVES,
    DETERMINERS,
    PREPOSITIONS,
    PRONOUNS,
    VERB_ADVERBS,
    bare,
    each_of,
)

#: Base forms that are seldom a noun.
VERBS = each_of(
    "accept achieve adapt add affect agree allow appear apply arise arrive ask assume avoid be beat become begin "
    "behave believe belong bring build buy calculate carry catch choose combine come compare compile compress "
    "connect consider consist consume contain continue contradict contribute converge convert cope create deal "
    "decide define denote depend describe detect determine differ disappear discover distinguish diverge divide "
    "do dominate eat emit employ enable encode ensure enter evaluate execute exist expect explain explore fail "
    "fill find follow forget generalise generalize generate get give go grow happen have hear help hurt ignore "
    "imply improve include indicate infer initialise install interact interpret introduce involve keep know lead "
    "learn leave let lie lose maintain make manage memorise memorize mitigate modify normalise normalize obtain "
    "occur operate optimise optimize outperform overfit perform pick predict prefer prepare preserve prevent "
    "produce protect prove provide put react receive recognise recognize recommend reduce refer reject relate "
    "relieve rely remain remove repair replace represent require rerun resolve retrieve reuse reveal say see seem "
    "select sell send separate serve simplify slow solve speak spend stop stumble suffer suggest suit take teach "
    "tell tend terminate think throw tolerate translate treat understand vanish verify want wear write"
)
#: Base forms that are a noun as often: a verb only where nothing speaks against it.
VERBS_OR_NOUNS = each_of(
    "access answer balance bias bind block boost break call cause change charge check clash compute copy cost "
    "count cover crash cut damage delay delete display drive drop end experience express extract fall fetch fit "
    "flow force format function gain guarantee handle hash hide hold impact increase index influence kill lack "
    "last leak limit link load lock look map match matter mean measure merge mix move need notice offer open "
    "order overflow panic pay perceive plan play point process punish query raise reach read refuse release "
    "report request reset rest result return reward rise rotate rule run sample save scale score search sense set "
    "share shift show sort speed split spread start state stay stem step store stream struggle study support swap "
    "switch test touch trace track train transfer trigger trust try turn update use value vary view visit vote "
    "wait walk waste watch weigh work"
)
_AFTER_VERBS = each_of("me us them several many more most nothing everything something")
_PAST = {
    "be": "was", "beat": "beat", "become": "became", "begin": "began", "bind": "bound", "break": "broke",
    "bring": "brought", "build": "built", "buy": "bought", "catch": "caught", "choose": "chose", "come": "came",
    "cost": "cost", "cut": "cut", "deal": "dealt", "do": "did", "drive": "drove", "drop": "dropped", "eat": "ate",
    "fall": "fell", "find": "found", "fit": "fitted", "forget": "forgot", "get": "got", "give": "gave", "go": "went",
    "grow": "grew", "have": "had", "hear": "heard", "hide": "hid", "hold": "held", "hurt": "hurt", "keep": "kept",
    "know": "knew", "lead": "led", "leave": "left", "let": "let", "lie": "lay", "lose": "lost", "make": "made",
    "mean": "meant", "pay": "paid", "plan": "planned", "prefer": "preferred", "put": "put", "read": "read",
    "refer": "referred", "reset": "reset", "rise": "rose", "run": "ran", "say": "said", "see": "saw", "sell": "sold",
    "send": "sent", "set": "set", "show": "showed", "speak": "spoke", "spend": "spent", "split": "split",
    "spread": "spread", "stop": "stopped", "swap": "swapped", "take": "took", "teach": "taught", "tell": "told",
    "think": "thought", "throw": "threw", "understand": "understood", "wear": "wore", "write": "wrote",
    "map": "mapped", "occur": "occurred", "transfer": "transferred", "infer": "inferred", "emit": "emitted",
}  # fmt: skip


def third_person(verb: str) -> str:
    """``does`` + base form in one word: fail -> fails."""
    irregular = {"be": "is", "have": "has"}
    if verb in irregular:
        return irregular[verb]
    if re.search(r"(s|x|z|ch|sh|o)$", verb):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search(r"[^aeiou]y$", verb) else f"{verb}s"


def past(verb: str) -> str:
    """``did`` + base form in one word: add -> added."""
    if verb in _PAST:
        return _PAST[verb]
    if verb.endswith("e"):
        return f"{verb}d"
    return f"{verb[:-1]}ied" if re.search(r"[^aeiou]y$", verb) else f"{verb}ed"


def is_base_form(word: str) -> bool:
    return word in VERBS or word in VERBS_OR_NOUNS


def main_verb(words: Sequence[str]) -> int | None:
    """Where in "subject + base form + rest" the base form stands; None where that is not clear.

    A word that is seldom a noun wins; of the others the one that is followed as only a verb is.
    """
    if not words:
        return None
    if bare(words[0]) in PRONOUNS or (bare(words[0]) in DEMONSTRATIVES and len(words) > 1 and _verb_at(words, 1)):
        return next((i for i in range(1, len(words)) if bare(words[i]) not in ADVERBS), None)
    doubtful = []
    for i in range(1, len(words)):
        word = bare(words[i])
        if word in CLAUSE_STARTS:
            break
        if word in VERB_ADVERBS and i + 1 < len(words) and bare(words[i + 1]) not in VERB_ADVERBS:
            return i + 1
        if _verb_at(words, i) and not _belongs_to_noun(words, i):
            if word in VERBS:
                return i
            doubtful.append(i)
        if words[i].endswith(","):
            break
    decided = [i for i in doubtful if _followed_as_verb(words, i)]
    # A name cannot go on into a compound noun as easily as a word can: "DQN store", but "keyword search".
    decided = decided or [i for i in doubtful if len(doubtful) == 1 and not words[i - 1].islower()]
    return decided[0] if decided else None


def _verb_at(words: Sequence[str], i: int) -> bool:
    return is_base_form(bare(words[i]))


def _belongs_to_noun(words: Sequence[str], i: int) -> bool:
    before = bare(words[i - 1])
    return words[i - 1].endswith(",") or before in DETERMINERS or before in PREPOSITIONS or before in ("and", "or")


def _followed_as_verb(words: Sequence[str], i: int) -> bool:
    if i + 1 == len(words) or words[i].endswith(","):
        return True
    after = bare(words[i + 1])
    if words[0].lower() in ("a", "an") and after.endswith("s"):
        return True  # a plural that cannot belong to the subject: "a site store passwords"
    return after in DETERMINERS | PREPOSITIONS | CLAUSE_STARTS | PRONOUNS | DEMONSTRATIVES | _AFTER_VERBS
