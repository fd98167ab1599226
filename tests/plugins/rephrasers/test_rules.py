"""The rephraser ``rules``: explicit wordings, and what holds for every shipped question."""

from __future__ import annotations

from random import Random

import pytest
from core_engine_data import Quickstart
from core_engine_rephrasers import Rules
from core_engine_rephrasers.rules.clauses import indirect
from core_engine_rephrasers.rules.rewrite import wordings
from core_engine_rephrasers.rules.verbs import past, third_person

from core_engine import DataSourceContext, Rephraser, RephraserContext


def rephrased(text: str, count: int = 100, seed: int = 0) -> list[str]:
    rephraser: Rephraser = Rules().build(RephraserContext("cpu", seed))
    (found,) = rephraser.rephrase([text], count)
    return found


@pytest.fixture(scope="module")
def questions() -> list[str]:
    return [str(example.input) for example in Quickstart().build(DataSourceContext(seed=0)).read()]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("What is a system call?", "Can you explain a system call?"),
        ("What is a system call?", "Could someone tell me what a system call is?"),
        ("What is a system call?", "How would you define a system call?"),
        ("What's exposure bias?", "What is meant by exposure bias?"),
        ("What are my options?", "I would like to know what my options are."),
        ("What is the purpose of a TLB?", "Please describe the purpose of a TLB."),
        ("What is the purpose of a TLB?", "What is the point of a TLB?"),
        ("Who are the two players in a GAN?", "Does anyone know who the two players in a GAN are?"),
        ("How does currying differ from partial application?", "What distinguishes currying from partial application?"),
        ("What's the difference between ETL and ELT?", "How do ETL and ELT differ?"),
        ("What is the difference between git fetch and git pull?", "Can you compare git fetch and git pull?"),
        ("What separates a list from a tuple?", "What is the difference between a list and a tuple?"),
        ("How do I undo a commit?", "What is the best way to undo a commit?"),
        ("How can we avoid that?", "Could you tell me how to avoid that?"),
        ("Is there a way to undo a commit?", "How can one undo a commit?"),
        ("Why use two models?", "Is there a good reason to use two models?"),
        ("Why not just use a list?", "Is there a reason not to just use a list?"),
        ("Why do CPUs have several levels of cache?", "How come CPUs have several levels of cache?"),
        ("Why does the job fail at night?", "Could you explain why the job fails at night?"),
        ("Why does the job fail at night?", "Why the job fails at night"),
        ("Why did attention make such a difference?", "Please explain why attention made such a difference."),
        ("Why is that?", "What is the reason for this?"),
        ("When should I stop training?", "I am not sure when to stop training."),
        ("Where does the error come from?", "Can you tell me where the error comes from?"),
        ("What should I do about it?", "Could you advise me on what to do about it?"),
        ("What is stratified sampling good for?", "What is the purpose of stratified sampling?"),
        ("What happens if I skip this step?", "What are the consequences if I skip this step?"),
        ("Can I skip the full sort?", "Do you know whether I can skip the full sort?"),
        ("Is the map really that bad?", "Is the map actually that bad?"),
        ("Does one cause the other?", "Is it true that one causes the other?"),
        ("Isn't a better search always good?", "Is it not true that a better search is always good?"),
        ("Could you tell me what map and filter do?", "Does anyone know what map and filter do?"),
        ("Could someone explain mini-batches?", "Please explain mini-batches."),
        ("What does ACID mean?", "What is meant by ACID?"),
        ("What if I lose my ticket?", "What happens if I lose my ticket?"),
        ("How come the lights are off?", "Can you explain why the lights are off?"),
        ("Would you recommend this?", "Do you know whether you would recommend this?"),
        ("What is wrong with ECB mode?", "What is the problem with ECB mode?"),
    ],
)
def test_a_wording_by_each_rule(before: str, after: str) -> None:
    assert after in rephrased(before)


@pytest.mark.parametrize(
    ("question", "clause"),
    [
        ("What is a system call", "what a system call is"),
        ("What is going on", "what is going on"),
        ("What is meant by a stable sort, and who cares", "what is meant by a stable sort, and who cares"),
        ("What is encapsulation supposed to protect me from", "what encapsulation is supposed to protect me from"),
        ("What is a finally block for", "what a finally block is for"),
        ("What does dropout actually do during training", "what dropout actually does during training"),
        ("What does turning up the heat do to it", "what turning up the heat does to it"),
        ("What kinds of mistakes can a Bloom filter make", "what kinds of mistakes a Bloom filter can make"),
        ("What separates bagging from boosting", "what separates bagging from boosting"),
        ("What kind of bug is that", "what kind of bug that is"),
        ("Which conditions have to hold at the same time", "which conditions have to hold at the same time"),
        ("Which simple baseline is worth trying first", "which simple baseline is worth trying first"),
        ("In what sense does TLS 1.3 protect us", "in what sense TLS 1.3 protects us"),
        ("For which models does scaling the inputs matter", "for which models scaling the inputs matters"),
        ("How long should an online experiment run", "how long an online experiment should run"),
        ("How is the overlap between a predicted box and the true box scored",
         "how the overlap between a predicted box and the true box is scored"),
        ("How did they end up like that", "how they ended up like that"),
        ("Why can't I just stack linear layers", "why I can't just stack linear layers"),
        ("Why is taking the first such a strong baseline", "why taking the first is such a strong baseline"),
        ("Why is filling with the mean statistically risky", "why filling with the mean is statistically risky"),
        ("Why does the interpreter lock affect number crunching", "why the interpreter lock affects number crunching"),
        ("Has she proved that P equals NP", "whether she has proved that P equals NP"),
        ("Are the two the same thing", "whether the two are the same thing"),
        ("Does 100% code coverage mean there are no bugs", "whether 100% code coverage means there are no bugs"),
        ("What does a TLB do, and why do huge pages relieve it", "what a TLB does, and why huge pages relieve it"),
        ("Why, and what should I use instead", "why, and what I should use instead"),
        ("Where is my package", "where my package is"),
        ("How old is the universe", "how old the universe is"),
        ("What is it like to live there", "what it is like to live there"),
        ("Why are my plants dying", "why my plants are dying"),
        ("Has my order been shipped", "whether my order has been shipped"),
        ("When does the restaurant open", "when the restaurant opens"),
        ("How does a credit card use affect me", "how a credit card use affects me"),
        ("Can I pay by card, or do you only take cash", "whether I can pay by card, or whether you only take cash"),
    ],
)  # fmt: skip
def test_a_question_becomes_an_indirect_one(question: str, clause: str) -> None:
    assert indirect(question) == clause


@pytest.mark.parametrize(
    "question",
    [
        "Does keyword search outpace it",  # an unknown verb behind a word that could be one
        "What is data drift as opposed to concept drift, and how do I detect each",
        "Is this sparta lattice",
        "Which one for a sparse graph",
        "What if it rains",
        "Which city is the largest in Europe",
    ],
)
def test_an_unclear_question_is_not_turned(question: str) -> None:
    assert indirect(question) is None


def test_the_words_before_the_question_stay_as_they_are() -> None:
    text = "Acme Corp. of Oslo is slow, e.g. today. Is it raining there? Why does the job fail? Thanks."
    found = rephrased(text)
    assert len(found) >= 6
    for wording in found:
        assert wording.startswith("Acme Corp. of Oslo is slow, e.g. today. Is it raining there? ")
        assert wording.endswith(" Thanks.")
        assert "Why does the job fail?" not in wording


def test_a_condition_before_the_question_stays_too() -> None:
    found = rephrased("If indexes are so quick, why do we not put one on every column?")
    assert "If indexes are so quick, quick question" not in " ".join(found)
    assert all("f indexes are so quick, " in wording for wording in found)
    assert "Quick question: if indexes are so quick, why do we not put one on every column?" in found


def test_words_in_quotes_are_left_alone() -> None:
    found = rephrased("Why is 'often the same' a headache?")
    assert "Could you explain why 'often the same' is a headache?" in found
    assert all("'often the same'" in wording for wording in found)


@pytest.mark.parametrize("text", ["", "No question here.", "Parking", "Type I and type II errors: who knows"])
def test_a_text_without_a_question_has_no_wordings(text: str) -> None:
    assert rephrased(text) == []


def test_most_shipped_questions_have_six_wordings_or_more(questions: list[str]) -> None:
    counts = [len(rephrased(question)) for question in questions]
    assert sum(count >= 6 for count in counts) >= 0.98 * len(questions)


def test_wordings_of_the_shipped_questions_are_well_formed(questions: list[str]) -> None:
    for question in questions:
        for wording in rephrased(question):
            assert wording != question
            assert wording[0] == wording[0].upper()
            assert "{" not in wording
            assert "  " not in wording
            assert wording.endswith(("?", ".")) or wording[:3] in ("Why", "How")
            assert not any(f" {mark}" in wording for mark in (",", "?", "."))
            assert not any(twice in wording for twice in (" is is ", " does does ", " whether whether ", "??", ".?"))


def test_no_indirect_wording_keeps_the_order_of_a_direct_question(questions: list[str]) -> None:
    """ "Can you tell me why does ..." would be the mistake of a rule that did not turn it."""
    frames = ("tell me", "explain", "understand", "know", "like to know", "wondering", "sure", "clarify")
    auxiliaries = ("do", "does", "did", "can", "should", "could")
    for question in questions:
        for wording in rephrased(question):
            for wh in ("why", "how", "when", "where"):
                for auxiliary in auxiliaries:
                    assert not any(f"{frame} {wh} {auxiliary} " in wording for frame in frames), wording


def test_the_seed_alone_decides(questions: list[str]) -> None:
    assert [rephrased(q, 4) for q in questions] == [rephrased(q, 4) for q in questions]
    assert [rephrased(q, 4, seed=0) for q in questions] != [rephrased(q, 4, seed=1) for q in questions]


def test_the_count_is_a_limit_and_more_different_wordings_come_first() -> None:
    everything = rephrased("How does currying differ from partial application?")
    assert rephrased("How does currying differ from partial application?", 3) == everything[:3]
    assert everything[0] in {
        "What distinguishes currying from partial application?",
        "In what way is currying different from partial application?",
        "What sets currying apart from partial application?",
        "What is the difference between currying and partial application?",
    }
    assert len(set(everything)) == len(everything)


def test_a_text_is_rephrased_alike_whatever_stands_beside_it() -> None:
    rephraser = Rules().build(RephraserContext("cpu", 3))
    alone = rephraser.rephrase(["Why is that?"], 3)
    assert rephraser.rephrase(["What is a lock?", "Why is that?"], 3)[1:] == alone
    assert alone == [wordings("Why is that?", Random("3\nWhy is that?"))[:3]]


@pytest.mark.parametrize(
    ("verb", "third", "before"),
    [
        ("fail", "fails", "failed"),
        ("process", "processes", "processed"),
        ("carry", "carries", "carried"),
        ("play", "plays", "played"),
        ("go", "goes", "went"),
        ("have", "has", "had"),
        ("make", "makes", "made"),
        ("stop", "stops", "stopped"),
        ("use", "uses", "used"),
    ],
)
def test_verbs_are_inflected(verb: str, third: str, before: str) -> None:
    assert (third_person(verb), past(verb)) == (third, before)
