"""The rows of a group together."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from core_engine import Epoch
from core_engine.errors import TrainingError


@frozen
class GroupedSampler:
    def order(self, epoch: Epoch) -> Tensor:
        """A permutation of all rows: groups in random order, the rows of each in random order.

        It begins at a random row of that order and goes round, so that where batches are cut, and which rows come in
        the short batch at the end, differs from epoch to epoch. TrainingError where the data have no groups.
        """
        if epoch.group_ids is None:
            raise TrainingError(
                "sampler grouped: these rows have no groups; name them in the data, or remove the sampler"
            )
        source = epoch.generator
        rows = torch.randperm(epoch.rows, generator=source)
        _, group = torch.unique(epoch.group_ids, return_inverse=True)
        place = torch.randperm(int(group.max()) + 1, generator=source)[group]
        together = rows[place[rows].argsort(stable=True)]
        return together.roll(int(torch.randint(epoch.rows, (1,), generator=source)))
