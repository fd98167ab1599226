"""Wrong targets for training rows: who chooses them is a component, when and among which is said here."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor, nn

from core_engine.contracts.objects import Negatives, Search
from core_engine.data.pairs import Pairs
from core_engine.errors import TrainingError
from core_engine.memory.tables import new_table
from core_engine.randomness import generator
from core_engine.training.inference import apply_core
from core_engine.training.ranks import Ranks


@frozen(eq=False)
class NegativeTable:
    """``corpus`` ``[m, D]``: the distinct targets of the main task. ``rows``, int64 ``[n, K]``, and ``holds``, bool
    ``[n, K]``: for each row of the main task its wrong targets, and which of them are there.
    """

    corpus: Tensor
    rows: Tensor
    holds: Tensor

    def of(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, K, D]`` and bool ``[B, K]``. Rows beyond the main task have none."""
        main = indices < len(self.rows)
        inside = indices.clamp_max(len(self.rows) - 1)
        return self.corpus[self.rows[inside]], self.holds[inside] & main[:, None]


def distinct_targets(pairs: Pairs, main: int) -> tuple[Tensor, Tensor]:
    """Of the first ``main`` rows: ``[m, D]``, and int64 ``[main]``, each row's own among them."""
    _, own = torch.unique(pairs.target_ids[:main], return_inverse=True)
    corpus = new_table(int(own.max()) + 1, pairs.targets.shape[1], pairs.targets)
    corpus[own] = pairs.targets[:main]  # rows of one number are equal
    return corpus, own


def choose_negatives(
    negatives: Negatives,
    pairs: Pairs,
    main: int,
    core: nn.Module,
    *,
    seed: int,
    epoch: int,
    ranks: Ranks | None = None,
) -> NegativeTable:
    """For the first ``main`` rows of ``pairs``, before epoch ``epoch``. Before the first they are chosen by the
    teacher's embeddings, if inputs and targets can be compared, and later by ``core``.

    TrainingError where the component gives something else than it must.
    """
    inputs, targets = pairs.inputs[:main], pairs.targets[:main]
    corpus, own = distinct_targets(pairs, main)
    if len(corpus) < 2:
        raise TrainingError("negatives: all training rows have the same target; there are no wrong ones")
    by_teacher = epoch == 0 and inputs.shape[1] == targets.shape[1]
    search = Search(
        queries=inputs if by_teacher else apply_core(core, inputs, ranks),
        corpus=corpus,
        own=own,
        generator=generator(seed, "negatives", epoch),
    )
    rows, holds = negatives.choose(search)
    name = type(negatives).__name__
    if rows.dtype != torch.int64 or holds.dtype != torch.bool or rows.shape != holds.shape or len(rows) != main:
        raise TrainingError(
            f"negatives {name} gave {rows.dtype} {list(rows.shape)} and {holds.dtype} {list(holds.shape)}; "
            f"expected int64 and bool [{main}, K]"
        )
    if rows.numel() and (rows.min() < 0 or rows.max() >= len(corpus)):
        raise TrainingError(f"negatives {name} gave a row that is not in 0 to {len(corpus) - 1}")
    if ((rows == own[:, None]) & holds).any():
        raise TrainingError(f"negatives {name} gave a row its own target as a wrong one")
    return NegativeTable(corpus, rows, holds)
