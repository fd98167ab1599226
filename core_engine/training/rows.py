"""Training rows on the device, and the order in which an epoch visits them."""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

from core_engine.contracts.objects import Epoch, Sampler
from core_engine.contracts.schedule import Ramp
from core_engine.data.noise import noise_std
from core_engine.data.pairs import Pairs
from core_engine.errors import DataError, TrainingError
from core_engine.memory.tables import joined, numbers_of_rows
from core_engine.randomness import generator
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed


@frozen(eq=False)
class TrainingRows:
    """``pairs``: the rows of the main task, then ``len(pairs) - main`` further rows of a mixed run.

    ``noise``: float32 ``[n, 1]``, standard deviation of the Gaussian noise on each dimension of a row's input, or None.
    ``alternate``: the two tasks take turns by epoch; else ``extra_per_epoch`` of the further rows join each epoch, or
    ``share`` of an epoch as long as the main task are further rows. ``sampler`` arranges the rows of the main task;
    without one each comes once, shuffled.
    """

    pairs: Pairs
    main: int
    seed: int
    noise: Tensor | None = None
    alternate: bool = False
    extra_per_epoch: int = 0
    share: Ramp | None = None
    sampler: Sampler | None = None

    def size(self, epoch: int) -> int:
        """Rows visited in an epoch."""
        if self.alternate:
            return self.main if epoch % 2 == 0 else len(self.pairs) - self.main
        return self.main + self.extra_per_epoch

    def steps(self, epoch: int, batch_size: int) -> int:
        return math.ceil(self.size(epoch) / batch_size)

    def order(self, epoch: int, begin: float, end: float, batch_size: int) -> Tensor:
        """Row numbers, int64 ``[size(epoch)]``, on the CPU: a function of its arguments and the seed alone.

        ``begin`` and ``end``: the shares of training done before and after the epoch. TrainingError where a sampler
        gives something else than row numbers.
        """
        source = generator(self.seed, "order", epoch)
        extra = len(self.pairs) - self.main
        if self.alternate and epoch % 2:
            return torch.randperm(extra, generator=source) + self.main
        order = self._main_order(source, begin, end, batch_size)
        joining = self.extra_per_epoch
        if self.share is not None:
            joining = round(self.main * self.share.at(begin))
            order = order[: self.main - joining]
        if joining:
            # Whole rounds through the further rows, so that none comes up twice before each came up once.
            rounds = math.ceil(joining / extra)
            further = torch.cat([torch.randperm(extra, generator=source) for _ in range(rounds)])[:joining]
            # Shuffled in among the others, whose own order stays.
            is_further = torch.randperm(len(order) + joining, generator=source) < joining
            merged = torch.empty(len(is_further), dtype=torch.int64)
            merged[is_further] = further + self.main
            merged[~is_further] = order
            order = merged
        return order

    def figures(self, order: Tensor) -> dict[str, float]:
        """Of an epoch's ``order``, where something chooses rows: ``rows_seen``, the share of the main task's rows that
        come up, and the mean ``difficulty`` of those that do, if the data have one.
        """
        if self.sampler is None and self.share is None:
            return {}
        main = order[order < self.main]
        found = {"rows_seen": len(main.unique()) / self.main}
        if self.pairs.difficulty is not None and len(main):
            found["difficulty"] = float(self.pairs.difficulty.cpu()[main].mean())
        return found

    def _main_order(self, source: torch.Generator, begin: float, end: float, batch_size: int) -> Tensor:
        if self.sampler is None:
            return torch.randperm(self.main, generator=source)
        groups, difficulty = self.pairs.group_ids, self.pairs.difficulty
        epoch = Epoch(
            rows=self.main,
            batch_size=batch_size,
            begin=begin,
            end=end,
            group_ids=None if groups is None else groups[: self.main].cpu(),
            difficulty=None if difficulty is None else difficulty[: self.main].cpu(),
            generator=source,
        )
        order = self.sampler.order(epoch)
        name = type(self.sampler).__name__
        if not isinstance(order, Tensor) or order.dtype != torch.int64 or order.shape != (self.main,):
            what = f"{order.dtype} {list(order.shape)}" if isinstance(order, Tensor) else type(order).__name__
            raise TrainingError(f"sampler {name} gave {what}; an order is int64 [{self.main}]")
        if order.min() < 0 or order.max() >= self.main:
            raise TrainingError(f"sampler {name} gave a row number that is not in 0 to {self.main - 1}")
        return order.cpu()


def training_rows(
    train: Pairs,
    extra: Pairs | None,
    mode: Autoencoder | Dialogue | Mixed,
    seed: int,
    sampler: Sampler | None = None,
) -> TrainingRows:
    """The rows that a mode trains on."""
    main = len(train)
    relative = 0.0 if isinstance(mode, Dialogue) else mode.noise
    std = noise_std(train.inputs, relative)
    if isinstance(mode, Mixed) and extra is None:
        raise DataError("mode mixed needs further rows to train on: give Splits its 'extra'")
    if extra is None or not isinstance(mode, Mixed):
        noise = torch.full((main, 1), std, device=train.inputs.device) if relative else None
        return TrainingRows(train, main, seed, noise, sampler=sampler)
    both = _joined(train, extra)
    noise = None
    if relative:
        noise = torch.zeros(len(both), 1, device=both.inputs.device)
        noise[main:] = std
    if mode.schedule == "alternate":
        return TrainingRows(both, main, seed, noise, alternate=True, sampler=sampler)
    share = 0.5 if mode.autoencoder_share is None else mode.autoencoder_share
    if isinstance(share, Ramp):
        return TrainingRows(both, main, seed, noise, share=share, sampler=sampler)
    joining = max(1, round(main * share / (1 - share)))
    return TrainingRows(both, main, seed, noise, extra_per_epoch=joining, sampler=sampler)


def with_shuffled_targets(pairs: Pairs, seed: int) -> Pairs:
    """The control: the same inputs and targets, each input with another row's target."""
    order = torch.randperm(len(pairs), generator=generator(seed, "control")).to(pairs.inputs.device)
    return pairs.with_targets(order)


def _joined(train: Pairs, extra: Pairs) -> Pairs:
    """One numbering of targets over both, since equal targets must stay equal; groups of the extra rows are their
    own.
    """
    targets = joined([train.targets, extra.targets])
    groups = None
    if train.group_ids is not None and extra.group_ids is not None:
        groups = torch.cat([train.group_ids, extra.group_ids + train.group_ids.max() + 1])
    difficulty = None
    if train.difficulty is not None:
        # The further rows are a task of their own, and in from the start.
        easy = torch.zeros(len(extra), dtype=train.difficulty.dtype, device=train.difficulty.device)
        difficulty = torch.cat([train.difficulty, easy])
    return Pairs(
        joined([train.inputs, extra.inputs]),
        targets,
        numbers_of_rows(targets),
        groups,
        difficulty,
        {name: joined([rows, extra.further[name]]) for name, rows in train.further.items()},
    )
