"""Pairs out of conversations: each user turn that an assistant turn follows directly."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from attrs import frozen

from core_engine_data.rows import Row, json_type

#: Keys under which a row may hold its turns.
TURN_KEYS = ("conversations", "messages")

#: The names of roles that are understood. Only user and assistant make pairs; the others can be context.
ROLES: Mapping[str, str] = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "system": "system",
    "tool": "tool",
}

#: Role and content: the chat format, then the ShareGPT one.
_SPELLINGS = (("role", "content"), ("from", "value"))


@frozen
class TurnPair:
    """``turn``: the index of the user's turn in its conversation. ``question`` holds the context, if any was wanted;
    ``alone`` is the user's turn without it, None where there is no context or nothing in the turn.
    """

    turn: int
    question: str
    answer: str
    alone: str | None = None


@frozen
class _Turn:
    role: str
    content: str


def turn_pairs(row: Row, key: str, context_turns: int) -> list[TurnPair]:
    """The pairs of the conversation under ``key``, at least one.

    With ``context_turns``, that many turns before the user's, of any role, stand before it as lines ``role: content``;
    the user's own turn has no such prefix. Raises DataError for a turn that is malformed and where there is no pair.
    """
    value = row.fields[key]
    if not isinstance(value, list):
        raise row.malformed(f"{key!r} is {json_type(value)}; write a list of turns")
    turns = [_turn(row, f"{key}[{index}]", turn) for index, turn in enumerate(value)]
    pairs = []
    for index, (turn, following) in enumerate(pairwise(turns)):
        if (turn.role, following.role) == ("user", "assistant"):
            earlier = turns[max(0, index - context_turns) : index]
            context = [f"{t.role}: {t.content}" for t in earlier]
            alone = turn.content if context and turn.content.strip() else None
            pairs.append(TurnPair(index, "\n".join([*context, turn.content]), following.content, alone))
    if not pairs:
        raise row.malformed(f"no user turn in {key!r} is followed by an assistant turn; add one, or remove the row")
    return pairs


def _turn(row: Row, where: str, value: object) -> _Turn:
    if not isinstance(value, dict):
        raise row.malformed(f"{where} is {json_type(value)}; write an object with 'role' and 'content'")
    spellings = [spelling for spelling in _SPELLINGS if all(key in value for key in spelling)]
    if len(spellings) != 1:
        found = ", ".join(map(repr, value)) or "nothing"
        raise row.malformed(f"{where} holds {found}; write 'role' and 'content' (or 'from' and 'value')")
    role, content = (value[key] for key in spellings[0])
    if not isinstance(role, str) or role not in ROLES:
        raise row.malformed(f"{where}: unknown role {role!r}; use one of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise row.malformed(f"{where}: {spellings[0][1]!r} is {json_type(content)}; write a string")
    return _Turn(ROLES[role], content)
