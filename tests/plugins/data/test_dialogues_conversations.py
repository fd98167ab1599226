"""``dialogues`` from conversations: adjacent user and assistant turns."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from core_engine import Example
from core_engine.errors import DataError

Read = Callable[..., list[Example]]


def chat(*turns: str) -> list[dict[str, str]]:
    """Turns out of ``role: content``."""
    return [dict(zip(("role", "content"), turn.split(": "), strict=True)) for turn in turns]


TALK = chat("system: S", "user: U1", "assistant: A1", "user: U2", "assistant: A2")


@pytest.mark.parametrize("key", ["conversations", "messages"])
def test_each_adjacent_pair_is_an_example(jsonl: Read, key: str) -> None:
    assert jsonl([{"id": "c", key: TALK, "source": "s"}]) == [
        Example("c#1", "U1", "A1", "c", {"source": "s"}),
        Example("c#3", "U2", "A2", "c", {"source": "s"}),
    ]


def test_sharegpt_spelling(jsonl: Read) -> None:
    turns = [{"from": "human", "value": "U"}, {"from": "gpt", "value": "A"}]
    assert jsonl([{"conversations": turns}]) == [Example("faq.jsonl:1#0", "U", "A", "faq.jsonl:1")]


def test_conversations_in_json(dialogues: Read) -> None:
    content = '[{"messages": [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]}]'
    assert dialogues("faq.json", content) == [Example("faq.json:0#0", "U", "A", "faq.json:0")]


def test_the_pairs_of_a_conversation_never_straddle_splits(jsonl: Read) -> None:
    examples = jsonl([{"messages": TALK}, {"messages": TALK}, {"messages": TALK, "group": "g"}])
    assert [e.group for e in examples] == ["faq.jsonl:1"] * 2 + ["faq.jsonl:2"] * 2 + ["g"] * 2


def test_only_adjacent_turns_make_a_pair(jsonl: Read) -> None:
    turns = chat("assistant: A0", "user: U1", "user: U2", "assistant: A2", "assistant: A3", "user: U4", "tool: T")
    assert [(e.input, e.target) for e in jsonl([{"messages": turns}])] == [("U2", "A2")]


@pytest.mark.parametrize(
    ("turns", "first", "second"),
    [
        (0, "U1", "U2"),
        (1, "system: S\nU1", "assistant: A1\nU2"),
        (2, "system: S\nU1", "user: U1\nassistant: A1\nU2"),
        (9, "system: S\nU1", "system: S\nuser: U1\nassistant: A1\nU2"),
    ],
)
def test_context_stands_before_the_question(jsonl: Read, turns: int, first: str, second: str) -> None:
    assert [e.input for e in jsonl([{"messages": TALK}], context_turns=turns)] == [first, second]


def test_a_question_with_context_is_known_without_it(jsonl: Read) -> None:
    def alone(turns: list[dict[str, str]], context_turns: int) -> list[str | None]:
        return [e.without_history for e in jsonl([{"messages": turns}], context_turns=context_turns)]

    assert alone(TALK, 0) == [None, None]
    assert alone(TALK, 1) == ["U1", "U2"]
    assert alone(TALK[1:], 3) == [None, "U2"]
    assert alone([*TALK[:3], {"role": "user", "content": " \n"}, TALK[4]], 2) == ["U1", None]  # nothing would be left


def test_context_needs_a_conversation(jsonl: Read) -> None:
    with pytest.raises(DataError, match=r"faq\.jsonl:1: no conversation, so .* context_turns: 2; leave that out"):
        jsonl([{"question": "Q", "answer": "A"}], context_turns=2)


def test_two_conversations_of_one_id(jsonl: Read) -> None:
    rows = [{"id": "c", "messages": TALK}, {"id": "c", "messages": TALK[3:]}]  # no id of a pair stands twice
    with pytest.raises(DataError, match=r"faq\.jsonl:2: id 'c' stands at .*:1 already"):
        jsonl(rows)


USER = {"role": "user", "content": "U"}
MALFORMED = {
    "no list": ({}, "'messages' is an object; write a list of turns"),
    "empty": ([], "no user turn in 'messages' is followed by an assistant turn"),
    "no pair": (chat("assistant: A", "user: U"), "no user turn in 'messages' is followed by an assistant turn"),
    "no turn": ([USER, "A"], "messages[1] is a string; write an object with 'role' and 'content'"),
    "missing": ([USER, {"role": "assistant"}], "messages[1] holds 'role'; write 'role' and 'content'"),
    "both": ([USER | {"from": "human", "value": "U"}], "messages[0] holds 'role', 'content', 'from', 'value'; write"),
    "role": (chat("usr: U"), "messages[0]: unknown role 'usr'; use one of user, human, assistant, gpt, system, tool"),
    "odd role": ([{"role": ["user"], "content": "U"}], "messages[0]: unknown role ['user']"),
    "null": ([USER, {"role": "assistant", "content": None}], "messages[1]: 'content' is null; write a string"),
    "value": ([{"from": "human", "value": 3}], "messages[0]: 'value' is a number"),
}


@pytest.mark.parametrize(("turns", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_conversation_is_named(jsonl: Read, turns: object, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"faq.jsonl:2: {message}")):
        jsonl([{"messages": TALK}, {"messages": turns}])


def test_one_key_for_the_turns(jsonl: Read) -> None:
    with pytest.raises(DataError, match="both 'conversations' and 'messages'; keep one"):
        jsonl([{"messages": TALK, "conversations": TALK}])
