"""Huber, uniformity and the curriculum around another loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from core_engine_losses.config import Cosine, Curriculum
from torch import Tensor

from core_engine import Batch, ComponentRef, Kind, Loss, LossContext, Pacing
from core_engine.errors import EngineError, TrainingError
from core_engine.host.host import PluginHost

Build = Callable[..., Loss]
MakeBatch = Callable[..., Batch]


def rows(count: int, dim: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    output, target = torch.randn(2, count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return output, target


def ref(name: str, **options: Any) -> ComponentRef:
    registered = PluginHost.discover().registry.get(Kind.LOSS, name)
    return ComponentRef(Kind.LOSS, name, registered.component.config(**options), registered.provider)


def curriculum(name: str = "cosine", pacing: Pacing | None = None, weighting: Any = "hard", **options: Any) -> Any:
    config = Curriculum(ref(name, **options), pacing or Pacing(), weighting)
    return config.build(LossContext(dim=8, seed=0))


def test_huber_is_its_formula(build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = rows(5)
    differences = (output - target).flatten().tolist()
    wanted = [x * x / 2 if abs(x) <= 0.6 else 0.6 * (abs(x) - 0.3) for x in differences]
    found = build_loss("huber", delta=0.6)(output, target, make_batch(range(5)))
    assert found.item() == pytest.approx(math.fsum(wanted) / len(wanted), abs=1e-12)


def uniformity_loop(output: Tensor, ids: list[int], t: float) -> float:
    unit = torch.nn.functional.normalize(output, dim=-1)
    found = [
        math.exp(-t * math.dist(unit[i].tolist(), unit[j].tolist()) ** 2)
        for i in range(len(ids))
        for j in range(i)
        if ids[i] != ids[j]
    ]
    return math.log(math.fsum(found) / len(found))


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [0, 0, 1, 2, 1], [0, 1]])
def test_uniformity_is_its_formula_over_pairs_that_may_differ(
    ids: list[int], build_loss: Build, make_batch: MakeBatch
) -> None:
    output, target = rows(len(ids))
    loss = build_loss("uniformity", t=1.5)
    assert loss(output, target, make_batch(ids)).item() == pytest.approx(uniformity_loop(output, ids, 1.5), abs=1e-9)
    assert torch.autograd.gradcheck(lambda o: loss(o, target, make_batch(ids)), [output.requires_grad_()])


@pytest.mark.parametrize("ids", [[3], [3, 3, 3]])
def test_uniformity_without_a_pair_is_zero(ids: list[int], build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = rows(len(ids))
    output.requires_grad_()
    loss = build_loss("uniformity")(output, target, make_batch(ids))
    loss.backward()
    assert loss.item() == 0
    assert output.grad is not None
    assert not output.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.0, 1e-4, 1e4])
def test_uniformity_stays_finite(dtype: torch.dtype, scale: float, build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = (values.mul(scale).to(dtype) for values in rows(6))
    output[1] = output[0]
    output.requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        loss = build_loss("uniformity")(output, target, make_batch(range(6)))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert output.grad is not None
    assert output.grad.isfinite().all()


def test_spread_outputs_are_more_uniform(build_loss: Build, make_batch: MakeBatch) -> None:
    loss, batch = build_loss("uniformity"), make_batch(range(8))
    same, spread = torch.ones(8, 8), torch.eye(8)
    assert loss(same, same, batch).item() == pytest.approx(0, abs=1e-6)
    assert loss(spread, spread, batch).item() == pytest.approx(-4.0)


def easy_first(make_batch: MakeBatch, progress: float) -> Batch:
    return attrs.evolve(make_batch(range(10)), progress=progress, difficulty=torch.arange(1, 11) / 10, epoch=0)


@pytest.mark.parametrize(("name", "options"), [("cosine", {}), ("info_nce", {"temperature": 0.1}), ("triplet", {})])
def test_only_rows_that_are_easy_enough_count(name: str, options: dict[str, Any], make_batch: MakeBatch) -> None:
    output, target = rows(10)
    loss = curriculum(name, Pacing(start=0.3, until=1.0), **options)
    inner = ref(name, **options).config.build(LossContext(dim=8, seed=0))
    for progress in (0.0, 0.5, 1.0):
        batch = easy_first(make_batch, progress)
        share = 0.3 + 0.7 * progress
        count = int(share * 10 + 1e-6)
        value, parts = loss(output, target, batch)
        torch.testing.assert_close(value, inner.rows(output, target, batch)[:count].mean())
        assert parts["seen"].item() == pytest.approx(count / 10)
        assert parts["difficulty"].item() == pytest.approx((count + 1) / 20)


def test_soft_weights_fade(make_batch: MakeBatch) -> None:
    output, target = rows(10)
    batch = easy_first(make_batch, 0.0)
    value, parts = curriculum(pacing=Pacing(start=0.45), weighting="soft")(output, target, batch)
    weights = [min(1.0, max(0.0, (0.45 - d / 10) / 0.2 + 1)) for d in range(1, 11)]
    losses = Cosine().build(LossContext(dim=8, seed=0)).rows(output, target, batch).tolist()  # type: ignore[attr-defined]
    assert weights[4] == pytest.approx(0.75)
    assert value.item() == pytest.approx(sum(w * x for w, x in zip(weights, losses, strict=True)) / sum(weights))
    assert parts["seen"].item() == pytest.approx(0.6)


def test_a_batch_of_hard_rows_teaches_nothing_yet(make_batch: MakeBatch) -> None:
    output, target = rows(3)
    output.requires_grad_()
    loss, batch = curriculum(), attrs.evolve(make_batch(range(3)), difficulty=torch.tensor([0.8, 0.9, 1.0]))
    loss(output.detach(), target, attrs.evolve(batch, difficulty=torch.tensor([0.1, 0.1, 0.5])))
    value, parts = loss(output, target, batch)
    value.backward()
    assert (value.item(), parts["seen"].item()) == (0.0, 0.0)
    assert output.grad is not None
    assert not output.grad.any()


def test_the_easiest_level_is_in_use_from_the_start_however_large_it_is(make_batch: MakeBatch) -> None:
    """Half of the rows are of the easiest level, and the pacing begins at a fifth; the row of difficulty 0 is a further
    one of a mixed run.
    """
    output, target = rows(4)
    loss = curriculum()
    batch = attrs.evolve(make_batch(range(4)), difficulty=torch.tensor([0.0, 0.5, 1.0, 1.0]))
    assert loss(output, target, batch)[1]["seen"].item() == pytest.approx(0.5)
    again = curriculum()
    again.load_state_dict(loss.state_dict())
    assert again(output[2:], target[2:], attrs.evolve(make_batch([2, 3]), difficulty=torch.ones(2)))[0].item() == 0


def test_held_out_rows_all_count(make_batch: MakeBatch, build_loss: Build) -> None:
    output, target = rows(4)
    loss = curriculum().eval()
    assert loss(output, target, make_batch(range(4)))[0] == build_loss("cosine")(output, target, make_batch(range(4)))


def test_without_difficulty_it_says_what_to_add(make_batch: MakeBatch) -> None:
    with pytest.raises(TrainingError, match=r"rows have no difficulty; give them one by data: \{difficulty"):
        curriculum()(*rows(4), make_batch(range(4)))


def test_a_loss_without_rows_cannot_be_weighed() -> None:
    with pytest.raises(EngineError, match="loss curriculum: 'uniformity' gives no loss for each row"):
        curriculum("uniformity")


def test_the_inner_losss_state_is_part_of_it() -> None:
    loss = curriculum("info_nce", learned_temperature=True, memory_bank=3)
    bank = {f"inner.bank.{name}" for name in ("targets", "ids", "filled")}
    assert set(loss.state_dict()) == {"easiest", "inner.log_temperature"} | bank
