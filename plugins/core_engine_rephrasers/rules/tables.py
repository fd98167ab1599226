"""Every wording that the rules know, as data. ``{...}`` is filled in; the first letter is put right afterwards."""

from __future__ import annotations

import re

from core_engine_rephrasers.rules.verbs import VERBS, VERBS_OR_NOUNS

#: Around an indirect clause: "why it rains", "how to do it".
CLAUSE_FRAMES = (
    "can you tell me {clause}?",
    "could you explain {clause}?",
    "I would like to know {clause}.",
    "please explain {clause}.",
    "does anyone know {clause}?",
    "I am trying to understand {clause}.",
    "could someone tell me {clause}?",
    "can you help me understand {clause}?",
)
#: Around a clause with "whether", which cannot be explained.
WHETHER_FRAMES = (
    "can you tell me {clause}?",
    "do you know {clause}?",
    "I would like to know {clause}.",
    "I am not sure {clause}.",
    "could you clarify {clause}?",
    "does anyone know {clause}?",
    "I am wondering {clause}.",
)
#: Around what is true or not: "it rains".
STATEMENT_FRAMES = (
    "is it true that {statement}?",
    "is it the case that {statement}?",
    "would you say that {statement}?",
)
#: The same, for a question that expects a yes: "doesn't it rain?".
EXPECTED_FRAMES = (
    "is it not true that {statement}?",
    "is it not the case that {statement}?",
    "would you not say that {statement}?",
    "I would have thought that {statement}.",
    "I would expect that {statement}.",
    "am I wrong to think that {statement}?",
)
#: Around the thing asked for: "the purpose of X".
NOUN_FRAMES = (
    "can you explain {noun}?",
    "please describe {noun}.",
    "could you describe {noun}?",
    "I would like to understand {noun}.",
    "can you tell me about {noun}?",
    "could someone explain {noun}?",
)
#: The same, for a term.
DEFINITION_FRAMES = (
    "what is meant by {noun}?",
    "how would you define {noun}?",
    "please give a definition of {noun}.",
)
#: Around the question as it is, for one that no other rule can take apart.
DIRECT_FRAMES = (
    "quick question: {question}",
    "I have a question: {question}",
    "here is what I would like to know: {question}",
    "maybe you can help me with this: {question}",
    "something I am trying to understand: {question}",
    "please help me with this question: {question}",
)

_VARIABLES = {
    "VP": r"(?P<vp>(?!not\b).+)",
    "X": r"(?P<x>.+?)",
    "Y": r"(?P<y>.+)",
    # "why do" and "why have" begin an ordinary question.
    "BASE": "|".join(sorted((VERBS | VERBS_OR_NOUNS) - {"do", "have"})),
    "KIND": r"(?:(?:main|practical|essential|key|basic|subtle|real|exact) )?",
}

_DIFFERENCE = (
    "how does {x} differ from {y}?",
    "what distinguishes {x} from {y}?",
    "in what way is {x} different from {y}?",
    "what sets {x} apart from {y}?",
    "what is the difference between {x} and {y}?",
)
_DIFFERENCES = (
    "how do {x} and {y} differ?",
    "what distinguishes {x} from {y}?",
    "in what way are {x} and {y} different?",
    "what sets {x} apart from {y}?",
    "can you compare {x} and {y}?",
    "what is the difference between {x} and {y}?",
)
_DIFFERENCES_OF_TWO = (
    "how do {x} and {y} differ?",
    "in what way are {x} and {y} different?",
    "can you compare {x} and {y}?",
    "how are {x} and {y} different from each other?",
    "what is the difference between {x} and {y}?",
)
_WAYS = (
    "what is a good way to {vp}?",
    "what is the best way to {vp}?",
    "which steps are needed to {vp}?",
    "can you show me how to {vp}?",
    "could you tell me how to {vp}?",
    "what would you do to {vp}?",
    "I would like to know how to {vp}.",
    "please explain how to {vp}.",
)
_REASONS_TO = (
    "what is the reason to {vp}?",
    "why should one {vp}?",
    "is there a good reason to {vp}?",
    "why would anyone {vp}?",
    "is there any reason to {vp}?",
    "can you explain why one should {vp}?",
)
_REASONS_NOT_TO = (
    "is there a reason not to {vp}?",
    "why should one not {vp}?",
    "would it not be enough to {vp}?",
    "what would be wrong if one were to {vp}?",
    "can you explain why one should not {vp}?",
)
_MEANING = (
    "what is meant by {x}?",
    "what is the meaning of {x}?",
    "how should one understand {x}?",
    "please explain the meaning of {x}.",
    "can you explain what is meant by {x}?",
    "I would like to know what is meant by {x}.",
)
_TO_DO = (
    "can you tell me {wh} to {vp}?",
    "I would like to know {wh} to {vp}.",
    "could you advise me on {wh} to {vp}?",
    "I am not sure {wh} to {vp}.",
)

#: Whole questions, without the mark at their end: pattern -> what else to ask. The first pattern that fits counts.
PATTERNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Short questions about what was said before.
    (r"why", ("what is the reason for this?", "how come?", "what explains this?", "can you explain why?",
              "why is that so?", "what is the cause of this?", "do you know the reason?", "what is behind this?")),
    (r"how", ("how is that possible?", "can you explain how?", "could you tell me how?", "in what way?",
              "can you show me how?", "do you know how?", "please explain how.")),
    (r"how come", ("why is that?", "what is the reason for this?", "can you explain why?", "what explains this?",
                   "what is the cause of this?", "do you know why?", "why does this happen?")),
    (r"why is (?:that|this|it)(?: so)?", ("what is the reason for this?", "how come?", "what explains this?",
                                          "can you explain why that is?", "what is the cause of this?",
                                          "what is behind this?", "do you know why this is so?")),
    (r"what is (?:going on|happening)(?: here)?", ("what is the cause of this?", "can you explain what is going on?",
                                                   "what might be the reason for this?", "how do you explain this?",
                                                   "can you tell me what is happening?", "what is behind this?",
                                                   "do you know what is happening here?")),
    (r"what went wrong", ("what is the mistake here?", "where is the mistake?", "can you tell me what went wrong?",
                          "what did I do wrong?", "do you know where the error is?", "what is the cause of this?",
                          "I would like to know what went wrong.")),
    (r"what explains (?:this|that)", ("what is the reason for this?", "why is that?", "how come?",
                                      "how do you explain this?", "can you explain why?", "what is behind this?",
                                      "what is the cause of this?")),
    (r"what is the reason for (?:this|that)", ("why is that?", "what explains this?", "how come?",
                                               "can you explain why?", "what is behind this?", "why is this done?",
                                               "I would like to know the reason for this.")),
    (r"is (?:that|this) possible", ("can that be done?", "can you tell me whether that is possible?",
                                    "is there a way to do that?", "would that work?", "is that feasible?",
                                    "I would like to know whether this is possible.", "could that be done at all?")),
    (r"what can be done", ("what would help?", "is there anything that can be done about it?", "how can this be fixed?",
                           "can you tell me what can be done?", "what do you suggest?",
                           "what are the possible remedies?", "how should one deal with this?")),
    # Differences.
    # One noun for both: "status codes 401 and 403".
    (r"what is the KIND(?:difference|distinction) between (?P<x>.+s \d+) and (?P<y>\d+)", _DIFFERENCES_OF_TWO),
    (r"what is the KIND(?:difference|distinction|contrast) between X and Y", _DIFFERENCES),
    (r"how (?:does|is) X (?:differ|different) from Y", _DIFFERENCE),
    (r"how do X and Y differ(?: from each other)?", _DIFFERENCES),
    (r"how are X and Y different(?: from each other)?", _DIFFERENCES),
    (r"what (?:separates|distinguishes) X from Y", _DIFFERENCE),
    # Ways to do something.
    (r"how (?:do|can|could|should|would|might|shall) (?:i|we|you|one) VP", _WAYS),
    (r"how (?:to) VP", _WAYS),
    (r"is there (?:a|any) way to VP", ("how can one {vp}?", *_WAYS)),
    # Reasons.
    (r"why not VP", _REASONS_NOT_TO),
    (r"why (?P<base>BASE) VP", _REASONS_TO),
    # What to do.
    (r"(?P<wh>(?:what|when|where|which)(?: \w+)?) should (?:i|we|one) VP", _TO_DO),
    # Meaning and purpose.
    (r"what (?:is|are) X (?:good|used) for", ("what is the purpose of {x}?", "what is the point of {x}?",
                                              "what does one use {x} for?", "when does one need {x}?",
                                              "which purpose does {x} serve?", "why would one use {x}?",
                                              "can you explain the purpose of {x}?")),
    (r"what (?:does|do) X(?: actually| really)? mean", _MEANING),
    (r"what is meant by X", _MEANING),
    (r"what happens (?:if|when) Y", ("what is the result if {y}?", "what are the consequences if {y}?",
                                     "what is the effect if {y}?", "what should I expect if {y}?",
                                     "can you tell me what happens if {y}?", "please describe what happens if {y}.",
                                     "I would like to know what happens if {y}.")),
    (r"what if Y", ("what happens if {y}?", "what are the consequences if {y}?", "what is the effect if {y}?",
                    "can you tell me what happens if {y}?", "please explain what happens if {y}.",
                    "I would like to know what happens if {y}.")),
    (r"how come Y", ("why is it that {y}?", "what is the reason that {y}?", "can you explain why {y}?",
                     "I would like to know why {y}.", "please explain why {y}.", "does anyone know why {y}?")),
    (r"what goes wrong (?:if|when) Y", ("what is the problem if {y}?", "which problems arise if {y}?",
                                        "what are the dangers if {y}?", "why is it a problem if {y}?",
                                        "can you explain what goes wrong if {y}?", "what can go wrong if {y}?",
                                        "I would like to know which problems arise if {y}.")),
    (r"what is wrong with Y", ("what is the problem with {y}?", "why is {y} a bad idea?", "what speaks against {y}?",
                               "can you explain what is wrong with {y}?", "which problems does {y} have?",
                               "I would like to know what is wrong with {y}.")),
    (r"(?:could|can|would) (?:you|someone|anyone|somebody) (?:please )?(?:explain|describe) Y", (
        "can you explain {y}?", "please explain {y}.", "I would like to understand {y}.", "could you explain {y}?",
        "I need an explanation of {y}.", "can anyone explain {y}?", "would you explain {y} to me?")),
    (r"(?:could|can|would) (?:you|someone|anyone|somebody) (?:please )?tell me Y", (
        "can you explain {y}?", "please tell me {y}.", "I would like to know {y}.", "does anyone know {y}?",
        "could someone explain {y}?", "I am trying to understand {y}.", "can you help me understand {y}?")),
)  # fmt: skip

#: Words and phrases in place of others of the same meaning and the same form.
SYNONYMS = (
    ("actually", "really"),
    ("altering", "changing"),
    ("begin", "start"),
    ("begins", "starts"),
    ("the benefit of", "the advantage of"),
    ("big", "large"),
    ("choose", "select"),
    ("contradict", "conflict with"),
    ("cope with", "deal with"),
    ("deal with", "handle"),
    ("dangers", "risks"),
    ("decide", "determine"),
    ("difference between", "distinction between"),
    ("distinction between", "difference between"),
    ("drawback", "disadvantage"),
    ("fail", "break down"),
    ("fails", "breaks down"),
    ("frequently", "often"),
    ("happens", "occurs"),
    ("have to", "need to"),
    ("huge", "very large"),
    ("in plain words", "in simple terms"),
    ("in practical terms", "in practice"),
    ("instead of", "rather than"),
    ("intuition", "idea"),
    ("just", "simply"),
    ("large", "big"),
    ("make sure", "ensure"),
    ("mistakes", "errors"),
    ("need to", "have to"),
    ("often", "frequently"),
    ("picking", "choosing"),
    ("prevented", "avoided"),
    ("the purpose of", "the point of"),
    ("quickly", "fast"),
    ("rarely", "seldom"),
    ("really", "actually"),
    ("typically", "usually"),
    ("the usual", "the common"),
    ("the whole", "the entire"),
)


def compiled(pattern: str) -> re.Pattern[str]:
    """Of a question without the mark at its end, from its first letter to its last, in any case."""
    source = re.sub("(VP|X|Y|KIND|BASE)", lambda found: _VARIABLES[found[1]], pattern)
    return re.compile(source, re.IGNORECASE)
