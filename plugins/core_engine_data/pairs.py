"""From a row to the examples of question and answer in it."""

from __future__ import annotations

from attrs import field, frozen

from core_engine import Example
from core_engine_data.columns import Columns
from core_engine_data.conversations import TURN_KEYS, turn_pairs
from core_engine_data.rows import Row


@frozen
class PairReader:
    """Callable: a row's id and its examples. DataError for a row that is malformed.

    ``turn_keys``: the keys that hold a conversation, none in formats that hold only strings.
    """

    columns: Columns
    context_turns: int = 0
    turn_keys: tuple[str, ...] = TURN_KEYS
    _names: dict[str, str] = field(init=False)

    @_names.default
    def _usual_or_given(self) -> dict[str, str]:
        return {name: name for name in ("question", "answer", "group", "id")} | self.columns.given()

    def __call__(self, row: Row) -> tuple[str, list[Example]]:
        names = self._names
        for label, given in (("group", self.columns.group), ("id", self.columns.id)):
            if given is not None and given not in row.fields:
                raise row.malformed(f"no {given!r}, named by columns.{label}; add it, or write null")
        identity = row.label(names["id"]) or row.default_id
        group = row.label(names["group"])
        turns = [key for key in self.turn_keys if key in row.fields]
        if not turns:
            return identity, [self._pair(row, identity, group)]
        others = [key for key in (names["question"], names["answer"], *turns[1:]) if key in row.fields]
        if others:
            raise row.malformed(f"both {turns[0]!r} and {others[0]!r}; keep one")
        metadata = self._rest(row, turns[0])
        pairs = turn_pairs(row, turns[0], self.context_turns)
        return identity, [
            Example(
                f"{identity}#{pair.turn}",
                pair.question,
                pair.answer,
                group or identity,
                metadata,
                without_history=pair.alone,
            )
            for pair in pairs
        ]

    def _pair(self, row: Row, identity: str, group: str | None) -> Example:
        question_key, answer_key = self._names["question"], self._names["answer"]
        remedy = f"a row needs {question_key!r} and {answer_key!r}, or {TURN_KEYS[0]!r}"
        question, answer = row.text(question_key, remedy), row.text(answer_key, remedy)
        if self.context_turns:
            raise row.malformed(
                f"no conversation, so there are no turns for context_turns: {self.context_turns}; leave that out"
            )
        return Example(identity, question, answer, group, self._rest(row))

    def _rest(self, row: Row, *used: str) -> dict[str, object]:
        known = {*self._names.values(), *used}
        return {key: value for key, value in row.fields.items() if key not in known}
