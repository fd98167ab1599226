"""The forward and backward passes of one optimiser step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from attrs import define, field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core_engine.contracts.objects import Batch
from core_engine.core.processor import EmbeddingProcessor
from core_engine.randomness import derive_seed, generator
from core_engine.recipe.training import Train
from core_engine.training.clock import Clock
from core_engine.training.criterion import Criterion
from core_engine.training.negatives import NegativeTable
from core_engine.training.prefetch import Prefetch
from core_engine.training.ranks import Ranks
from core_engine.training.rows import TrainingRows

#: Rows of a backward pass: indices, target ids, group ids and, where there is one, difficulty.
Part = tuple[Tensor, ...]


@define(eq=False)
class Passes:
    """Gradients of an epoch's steps. ``backward`` is given the loss of each part, weighted by its share of the rows.

    Everything random is keyed by (seed, epoch, batch), so a step can be computed again. ``table``: wrong targets, where
    the run has any.
    """

    core: nn.Module
    criterion: Criterion
    rows: TrainingRows
    options: Train
    seed: int
    total_steps: int
    backward: Callable[[Tensor], None]
    ranks: Ranks
    clock: Clock
    table: NegativeTable | None = None
    #: Of the epoch: see :meth:`TrainingRows.figures`.
    figures: dict[str, float] = field(factory=dict, init=False)
    epoch: int = field(default=0, init=False)
    _first_step: int = field(default=0, init=False)
    _parts: list[Part] = field(factory=list, init=False)
    _prefetch: Prefetch = field(init=False)
    _forward: Callable[[Tensor, Tensor], Tensor] = field(init=False)
    _autocast: Callable[[], AbstractContextManager[Any]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        pairs = self.rows.pairs
        self._prefetch = Prefetch([pairs.inputs, pairs.targets, *pairs.further.values()])
        device, precision = self.rows.pairs.inputs.device.type, self.options.precision
        if precision == "float32":
            self._autocast = nullcontext
        else:
            dtype = getattr(torch, precision)
            self._autocast = lambda: torch.autocast(device, dtype)

    def begin_epoch(self, epoch: int, first_step: int) -> None:
        """``first_step``: optimiser steps done before it. Divides it once: a step then only takes views that are
        there.
        """
        rows, options, pairs = self.rows, self.options, self.rows.pairs
        last_step = first_step + rows.steps(epoch, options.batch_size)
        total = self.total_steps
        order = rows.order(epoch, first_step / total, min(1.0, last_step / total), options.batch_size)
        self.figures = rows.figures(order)
        order = order.to(pairs.inputs.device)
        columns = [order, pairs.target_ids[order], order if pairs.group_ids is None else pairs.group_ids[order]]
        if pairs.difficulty is not None:
            columns.append(pairs.difficulty[order])
        part_size = options.batch_size // options.accumulate
        self._parts = list(zip(*(column.split(part_size) for column in columns), strict=True))
        self.epoch, self._first_step = epoch, first_step
        core = self.core.train()
        if isinstance(core, EmbeddingProcessor):
            # The row numbers key the noise of its cells.
            seed = derive_seed(self.seed, "state", epoch)
            self._forward = lambda inputs, indices: core(inputs, seed, indices)
        else:
            self._forward = lambda inputs, indices: core(inputs)

    def row_numbers(self, step: int) -> Tensor:
        """Training rows of optimiser step ``step`` (from 0), which is of this epoch: int64 ``[B]``."""
        return torch.cat([indices for indices, *_ in self._parts_of(step)])

    def gradients(self, step: int) -> tuple[dict[str, Tensor], int]:
        """Adds the gradients of optimiser step ``step`` (from 0), which is of this epoch.

        Gives each figure of the loss, its mean over the step's rows without gradient, and the number of rows. With
        ``grad_cache`` (Gao et al., 2021) the loss is of all rows at once: only the outputs of a part are kept, and in
        the backward pass the core computes each part again.
        """
        parts = self._parts_of(step)
        following = [indices for indices, *_ in self._parts_of(step + 1)]
        if following:
            self._prefetch.read(following)
        source = None
        if self.rows.noise is not None:
            batch = step - self._first_step
            source = generator(self.seed, "noise", self.epoch, batch, device=self.rows.pairs.inputs.device)
        count = sum(len(indices) for indices, *_ in parts)
        means: dict[str, Tensor] = {}
        if self.options.grad_cache:
            given = [self._inputs(indices, source) for indices, *_ in parts]
            outputs = [self._output(rows, part[0], again=True) for rows, part in zip(given, parts, strict=True)]
            whole = tuple(torch.cat(columns) for columns in zip(*parts, strict=True))
            self._loss(torch.cat(outputs), torch.cat(given), whole, count, step, means)
        else:
            for part in parts:
                given_part = self._inputs(part[0], source)
                self._loss(self._output(given_part, part[0]), given_part, part, count, step, means)
        return means, count

    def _parts_of(self, step: int) -> list[Part]:
        first = (step - self._first_step) * self.options.accumulate
        return self._parts[first : first + self.options.accumulate]

    def _inputs(self, indices: Tensor, source: torch.Generator | None) -> Tensor:
        """``[B, D_in]``, with the mode's noise from ``source``."""
        inputs = self.rows.pairs.inputs.index_select(0, indices)
        if self.rows.noise is not None:
            drawn = torch.randn(inputs.shape, generator=source, device=inputs.device, dtype=inputs.dtype)
            inputs = torch.addcmul(inputs, drawn, self.rows.noise.index_select(0, indices))
        self.clock.lap("data")
        return inputs

    def _output(self, inputs: Tensor, indices: Tensor, again: bool = False) -> Tensor:
        """``[B, D_out]``, each process's rows computed there; ``again``: and once more in the backward pass."""
        count = len(indices)
        if self.ranks.size > 1:
            share = self.ranks.computed(count)
            inputs, indices = inputs[share], indices[share]
        with self._autocast():
            if again:
                output: Tensor = checkpoint(self._forward, inputs, indices, use_reentrant=False)
            else:
                output = self._forward(inputs, indices)
        output = self.ranks.gather(output, count)
        self.clock.lap("forward")
        return output

    def _loss(
        self, output: Tensor, inputs: Tensor, part: Part, count: int, step: int, means: dict[str, Tensor]
    ) -> None:
        """Adds the gradient of these rows to that of the step's ``count`` rows."""
        pairs = self.rows.pairs
        indices, target_ids, group_ids, *difficulty = part
        negatives = (None, None) if self.table is None else self.table.of(indices)
        batch = Batch(
            indices,
            inputs,
            target_ids,
            group_ids,
            self.epoch,
            step / self.total_steps,
            difficulty[0] if difficulty else None,
            negatives[0],
            negatives[1],
            {name: rows.index_select(0, indices) for name, rows in pairs.further.items()},
        )
        with self._autocast():
            loss, named = self.criterion(output, pairs.targets.index_select(0, indices), batch)
        self.clock.lap("loss")
        rows = len(indices)
        self.backward(loss if rows == count else loss * (rows / count))
        self.clock.lap("backward")
        for name, value in [("loss", loss.detach()), *named.items()]:
            share = value if rows == count else value * (rows / count)
            means[name] = share if name not in means else means[name] + share
