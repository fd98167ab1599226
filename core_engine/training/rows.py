"""Training rows on the device, and the order in which an epoch visits them."""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

from core_engine.data.noise import noise_std
from core_engine.data.pairs import Pairs
from core_engine.errors import DataError
from core_engine.randomness import generator
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed


@frozen(eq=False)
class TrainingRows:
    """``pairs``: the rows of the main task, then ``len(pairs) - main`` further rows of a mixed run.

    ``noise``: float32 ``[n, 1]``, standard deviation of the Gaussian noise on each dimension of a row's input, or None.
    ``alternate``: the two tasks take turns by epoch; else ``extra_per_epoch`` of the further rows join each epoch.
    """

    pairs: Pairs
    main: int
    seed: int
    noise: Tensor | None = None
    alternate: bool = False
    extra_per_epoch: int = 0

    def size(self, epoch: int) -> int:
        """Rows visited in an epoch."""
        if self.alternate:
            return self.main if epoch % 2 == 0 else len(self.pairs) - self.main
        return self.main + self.extra_per_epoch

    def steps(self, epoch: int, batch_size: int) -> int:
        return math.ceil(self.size(epoch) / batch_size)

    def order(self, epoch: int) -> Tensor:
        """Row numbers, int64 ``[size(epoch)]``, on the device: a function of seed and epoch alone."""
        source = generator(self.seed, "order", epoch)
        extra = len(self.pairs) - self.main
        if self.alternate and epoch % 2:
            order = torch.randperm(extra, generator=source) + self.main
        else:
            order = torch.randperm(self.main, generator=source)
        if self.extra_per_epoch:
            # Whole rounds through the further rows, so that none comes up twice before each came up once.
            rounds = math.ceil(self.extra_per_epoch / extra)
            further = torch.cat([torch.randperm(extra, generator=source) for _ in range(rounds)])
            order = torch.cat([order, further[: self.extra_per_epoch] + self.main])
            order = order[torch.randperm(len(order), generator=source)]
        return order.to(self.pairs.inputs.device)


def training_rows(
    train: Pairs, extra: Pairs | None, mode: Autoencoder | Dialogue | Mixed, seed: int, shuffle_targets: bool
) -> TrainingRows:
    """The rows that a mode trains on. ``shuffle_targets``: the control run, in which targets are permuted among the
    rows.
    """
    main = len(train)
    relative = 0.0 if isinstance(mode, Dialogue) else mode.noise
    std = noise_std(train.inputs, relative)
    if shuffle_targets:
        train = _shuffled(train, seed)
        extra = None if extra is None else _shuffled(extra, seed)
    if isinstance(mode, Mixed) and extra is None:
        raise DataError("mode mixed needs further rows to train on: give Splits its 'extra'")
    if extra is None or not isinstance(mode, Mixed):
        noise = torch.full((main, 1), std, device=train.inputs.device) if relative else None
        return TrainingRows(train, main, seed, noise)
    both = _joined(train, extra)
    noise = None
    if relative:
        noise = torch.zeros(len(both), 1, device=both.inputs.device)
        noise[main:] = std
    if mode.schedule == "alternate":
        return TrainingRows(both, main, seed, noise, alternate=True)
    share = 0.5 if mode.autoencoder_share is None else mode.autoencoder_share
    return TrainingRows(both, main, seed, noise, extra_per_epoch=max(1, round(main * share / (1 - share))))


def _shuffled(pairs: Pairs, seed: int) -> Pairs:
    order = torch.randperm(len(pairs), generator=generator(seed, "control")).to(pairs.inputs.device)
    return Pairs(pairs.inputs, pairs.targets[order], pairs.target_ids[order], pairs.group_ids)


def _joined(train: Pairs, extra: Pairs) -> Pairs:
    """One numbering of targets over both, since equal targets must stay equal; groups of the extra rows are their
    own.
    """
    targets = torch.cat([train.targets, extra.targets])
    _, target_ids = torch.unique(targets, dim=0, return_inverse=True)
    groups = None
    if train.group_ids is not None and extra.group_ids is not None:
        groups = torch.cat([train.group_ids, extra.group_ids + train.group_ids.max() + 1])
    return Pairs(torch.cat([train.inputs, extra.inputs]), targets, target_ids, groups)
