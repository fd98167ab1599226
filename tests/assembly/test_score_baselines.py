"""The adapters beside a run get the batches that suit them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core_engine import Pairs, Splits
from core_engine.assembly import baselines
from core_engine.contracts.objects import Batch
from core_engine.evaluation.adapters import train_adapter
from core_engine.recipe.modes import Dialogue


def split(rows: int, seed: int) -> Pairs:
    source = torch.Generator().manual_seed(seed)
    inputs = F.normalize(torch.randn(rows, 16, generator=source))
    targets = F.normalize(inputs + 0.3 * inputs.roll(1, 1) + 0.05 * torch.randn(rows, 16, generator=source))
    return Pairs(inputs, targets)


def in_batch(output: Tensor, target: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(F.normalize(output) @ F.normalize(target).T / 0.05, torch.arange(len(output)))


@pytest.mark.parametrize(("own", "tried"), [(16, [16, 256]), (256, [256]), (1000, [256, 400]), (500, [256, 400])])
def test_validation_chooses_between_the_usual_batches_and_the_runs(
    monkeypatch: pytest.MonkeyPatch, own: int, tried: list[int]
) -> None:
    data = Splits(train=split(400, 0), validation=split(60, 1), test=split(60, 2))
    found: dict[int, tuple[float, float]] = {}  # on validation and on test rows

    def watched(*arguments: Any, batch_size: int, **more: Any) -> Any:
        adapter = train_adapter(*arguments, batch_size=batch_size, **more)
        parts = (data.validation, data.test)
        on_both = [float(F.cosine_similarity(adapter(part.inputs), part.targets).mean()) for part in parts]
        found[batch_size] = on_both[0], on_both[1]
        return adapter

    monkeypatch.setattr(baselines, "train_adapter", watched)
    scored = baselines.score_baselines(
        ["linear"],
        data,
        Dialogue(),
        loss=in_batch,
        monitor="cosine",
        seed=0,
        batch_size=own,
        should_stop=lambda: False,
    )
    assert scored is not None
    assert list(found) == tried
    assert len(set(found.values())) == len(tried)
    assert scored.rows["linear"]["cosine"] == pytest.approx(max(found.values())[1])
