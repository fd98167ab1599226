"""Where a core does well and where it does not: single rows, groups, and lengths of the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from attrs import frozen
from torch import Tensor

from core_engine.assembly.held_out import HeldOut
from core_engine.evaluation.retrieval import rank_of_target, unit_rows
from core_engine.printable import printable

#: Rows shown as best and as worst, answers shown for each, groups shown, and parts that lengths are cut into.
EXAMPLES, ANSWERS, GROUPS, LENGTHS = 6, 3, 12, 5


@frozen
class Answer:
    """A candidate: its text and its cosine with the core's output."""

    text: str
    cosine: float


@frozen
class ShownRow:
    """A held-out row: ``rank`` of its own target by the core, and ``teacher_rank`` by the teacher as it is, None where
    dimensions differ. ``retrieved``: the first candidates but the row's own target.
    """

    group: str | None
    text: str
    target: Answer
    rank: int
    teacher_rank: int | None
    retrieved: list[Answer]


@frozen
class Slice:
    """Some of the rows: how many, and the mean of a metric for the core and for the teacher as it is, if there."""

    name: str
    rows: int
    core: float
    teacher: float | None


class Candidates:
    """What answers are retrieved from: distinct targets by first appearance, then the corpus. ``vectors [m, D]``;
    ``of_row``, int64 ``[n]``: each row's own.
    """

    def __init__(self, held_out: HeldOut) -> None:
        pairs = held_out.pairs
        ids, self.of_row = pairs.target_ids.unique(return_inverse=True)
        self.first = torch.full_like(ids, len(pairs)).scatter_reduce_(
            0, self.of_row, torch.arange(len(pairs), device=ids.device), "amin"
        )
        targets = pairs.targets[self.first]
        self.vectors = targets if held_out.corpus is None else torch.cat([targets, held_out.corpus])
        self._rows, self._corpus = held_out.rows, held_out.corpus_rows

    def text(self, number: int) -> str:
        if number < len(self.first):
            row = self._rows[int(self.first[number])]
            return shown(row.target if row.target is not None else row.input, row.id)
        row = self._corpus[number - len(self.first)]
        return shown(row.input, row.id)

    def ranks(self, outputs: Tensor) -> Tensor:
        """Of each row's own target, int64 ``[n]``."""
        return rank_of_target(outputs, self.vectors, self.of_row)


def shown(value: object, name: str, most: int = 400) -> str:
    """A text as it can stand on a page; of an embedding, the row's name."""
    if not isinstance(value, str):
        return f"(embedding, row {name})"
    clean = printable(value)
    return clean if len(clean) <= most else f"{clean[:most]}…"


def best_and_worst(
    held_out: HeldOut, candidates: Candidates, ranks: Tensor, teacher_ranks: Tensor | None
) -> tuple[list[ShownRow], list[ShownRow]]:
    """Rows by rank, then by cosine with their own target; at most one for each target in either list."""
    cosines = (unit_rows(held_out.output) * unit_rows(held_out.pairs.targets)).sum(-1)
    by_cosine = cosines.argsort(descending=True, stable=True)
    order = by_cosine[ranks[by_cosine].argsort(stable=True)].tolist()

    def chosen(rows: Sequence[int]) -> list[ShownRow]:
        taken: dict[int, int] = {}
        for row in rows:
            taken.setdefault(int(candidates.of_row[row]), row)
            if len(taken) == EXAMPLES:
                break
        return [_shown_row(held_out, candidates, ranks, teacher_ranks, row) for row in taken.values()]

    return chosen(order), chosen(order[::-1])


def _shown_row(
    held_out: HeldOut, candidates: Candidates, ranks: Tensor, teacher_ranks: Tensor | None, row: int
) -> ShownRow:
    own = int(candidates.of_row[row])
    cosines = unit_rows(candidates.vectors) @ unit_rows(held_out.output[row : row + 1])[0]
    first = cosines.topk(min(ANSWERS + 1, len(cosines))).indices.tolist()
    example = held_out.rows[row]

    def answer(number: int) -> Answer:
        return Answer(candidates.text(number), float(cosines[number]))

    return ShownRow(
        group=None if example.group is None else shown(example.group, ""),
        text=shown(example.input, example.id),
        target=answer(own),
        rank=int(ranks[row]),
        teacher_rank=None if teacher_ranks is None else int(teacher_ranks[row]),
        retrieved=[answer(number) for number in first if number != own][:ANSWERS],
    )


def worst_groups(held_out: HeldOut, by_row: Mapping[str, Tensor]) -> list[Slice]:
    """The groups with the lowest mean, worst first. ``by_row``: a metric of ``core`` and perhaps ``teacher``, float64
    ``[n]``. Empty where no row names a group.
    """
    names = [row.group for row in held_out.rows]
    if not any(name is not None for name in names):
        return []
    numbers: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name is not None:
            numbers.setdefault(name, []).append(row)
    found = [_slice(shown(name, ""), torch.tensor(rows), by_row) for name, rows in numbers.items()]
    return sorted(found, key=lambda group: (group.core, group.name))[:GROUPS]


def by_length(held_out: HeldOut, by_row: Mapping[str, Tensor]) -> list[Slice]:
    """Rows by the length of their input in characters, cut at its quantiles. Empty where inputs are no texts."""
    if not isinstance(held_out.rows[0].input, str):
        return []
    lengths = torch.tensor([len(row.input) for row in held_out.rows], dtype=torch.float64)
    ends = lengths.quantile(torch.linspace(0, 1, LENGTHS + 1, dtype=torch.float64)[1:], interpolation="higher").unique()
    part = torch.bucketize(lengths, ends)
    slices = []
    for number in range(len(ends)):
        rows = (part == number).nonzero().flatten()
        if len(rows):
            shortest, longest = int(lengths[rows].min()), int(lengths[rows].max())
            slices.append(_slice(f"{shortest} to {longest}" if shortest < longest else f"{shortest}", rows, by_row))
    return slices


def _slice(name: str, rows: Tensor, by_row: Mapping[str, Tensor]) -> Slice:
    means = {of: float(values.cpu()[rows].nanmean()) for of, values in by_row.items()}
    return Slice(name, len(rows), means["core"], means.get("teacher"))
