"""Easy rows first, epoch by epoch."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from core_engine import Epoch, Pacing
from core_engine_samplers.difficulty import easiest_first, in_use
from core_engine_samplers.draw import draw


@frozen
class CurriculumSampler:
    """The baby-step curriculum (Bengio et al., 2009; Spitkovsky et al., 2010) with a pacing function."""

    pacing: Pacing

    def order(self, epoch: Epoch) -> Tensor:
        """Rows no harder than ``pacing`` says at the epoch's beginning, in shuffled rounds until there are enough.

        Each comes up as often as any other, to within one. TrainingError where rows have no difficulty.
        """
        rows, difficulty = easiest_first(epoch, "curriculum")
        count = in_use(difficulty, self.pacing.share(epoch.begin))
        return rows[draw(count, epoch.rows, epoch.generator)]
