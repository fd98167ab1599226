"""Easy rows first, batch by batch."""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

from core_engine import Epoch, Pacing
from core_engine_samplers.difficulty import easiest_first, in_use
from core_engine_samplers.draw import draw


@frozen
class CompetenceSampler:
    """Competence-based curriculum (Platanios et al., 2019): ``pacing`` is the competence, the difficulty a row's place
    in the cumulative density.
    """

    pacing: Pacing

    def order(self, epoch: Epoch) -> Tensor:
        """Each batch is drawn uniformly from the rows no harder than the competence at its step, without a row twice as
        long as there are enough. TrainingError where rows have no difficulty.
        """
        rows, difficulty = easiest_first(epoch, "competence")
        batches = math.ceil(epoch.rows / epoch.batch_size)
        drawn = []
        for number in range(batches):
            size = min(epoch.batch_size, epoch.rows - number * epoch.batch_size)
            progress = epoch.begin + (epoch.end - epoch.begin) * number / batches
            count = in_use(difficulty, self.pacing.share(progress))
            drawn.append(draw(count, size, epoch.generator))
        return rows[torch.cat(drawn)]
