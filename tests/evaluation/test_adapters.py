from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core_engine.contracts.objects import Batch
from core_engine.data.pairs import Pairs
from core_engine.errors import TrainingError
from core_engine.evaluation import adapters
from core_engine.evaluation.adapters import train_adapter
from core_engine.evaluation.baselines import why_left_out
from core_engine.evaluation.bodies import BODIES
from core_engine.evaluation.metrics import evaluate


def cosine_loss(output: Tensor, target: Tensor, batch: Batch) -> Tensor:
    return 1 - F.cosine_similarity(output, target).mean()


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def split(seed: int, rows: int, input_dim: int = 48, target_dim: int = 48, groups: bool = False) -> Pairs:
    """A linear map of off-centre inputs, and a little noise."""
    inputs = F.normalize(normal(seed, rows, input_dim) + 0.3)
    matrix = torch.eye(input_dim, target_dim) + 1.5 * normal(7, input_dim, target_dim) / input_dim**0.5
    targets = F.normalize(inputs @ matrix + 0.1 * normal(seed + 1, rows, target_dim))
    group_ids = torch.arange(rows) % 10 if groups else None
    return Pairs(inputs, targets, torch.arange(rows), group_ids)


@pytest.mark.parametrize("name", BODIES)
def test_deterministic_in_the_seed_and_apart_from_the_global_generator(name: str) -> None:
    train, validation = split(0, 300), split(10, 60)

    def weights(seed: int) -> Tensor:
        adapter = train_adapter(name, train, validation, loss=cosine_loss, metric="cosine", seed=seed)
        return torch.cat([p.flatten() for p in adapter.parameters()])

    torch.manual_seed(1)
    first = weights(3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(weights(3), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(weights(4), first)


@pytest.mark.parametrize("name", [name for name in BODIES if name != "gains"])
def test_better_than_identity_on_a_linear_map(name: str) -> None:
    train, validation, test = split(0, 2000), split(10, 200), split(20, 200)
    adapter = train_adapter(name, train, validation, loss=cosine_loss, metric="mrr@10", seed=0)
    trained, untrained = evaluate(adapter(test.inputs), test), evaluate(test.inputs, test)
    assert trained["cosine"] > untrained["cosine"] + 0.1
    assert trained["mrr@10"] > untrained["mrr@10"] + 0.04


@pytest.mark.parametrize("name", BODIES)
def test_starts_at_the_mean_shift(name: str) -> None:
    """With a loss that has no slope, nothing moves but the weights' decay."""
    train = split(0, 100)
    adapter = train_adapter(name, train, train, loss=lambda o, t, b: 0.0 * o.sum(), metric="cosine", seed=0)
    ratio = adapter.target_scale / adapter.input_scale
    expected = (train.inputs - train.inputs.mean(0)) * ratio + train.targets.mean(0)
    torch.testing.assert_close(adapter(train.inputs), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", [name for name in BODIES if why_left_out(name, split(0, 4, 5, 6)) is None])
@pytest.mark.parametrize(("input_dim", "target_dim"), [(48, 20), (20, 48)])
def test_unequal_dimensions(name: str, input_dim: int, target_dim: int) -> None:
    train, validation = split(0, 1500, input_dim, target_dim), split(10, 150, input_dim, target_dim)

    start, trained = (
        evaluate(adapter(validation.inputs), validation)["cosine"]
        for loss in (lambda o, t, b: 0.0 * o.sum(), cosine_loss)
        for adapter in [train_adapter(name, train, validation, loss=loss, metric="cosine", seed=0)]
    )
    assert trained > start + 0.0003


@pytest.mark.parametrize("name", ["linear", "mlp"])
@pytest.mark.parametrize(("input_dim", "target_dim"), [(48, 20), (20, 48)])
def test_unequal_dimensions_start_as_the_rotation(name: str, input_dim: int, target_dim: int) -> None:
    train = split(0, 400, input_dim, target_dim)
    train = attrs.evolve(train, targets=3 * train.targets)
    adapter = train_adapter(name, train, train, loss=lambda o, t, b: 0.0 * o.sum(), metric="cosine", seed=0)
    inputs, targets = (rows.double() - rows.double().mean(0) for rows in (train.inputs, train.targets))
    left, _, right = torch.linalg.svd(inputs.T @ targets, full_matrices=False)
    expected = inputs @ left @ right * targets.norm() / inputs.norm() + train.targets.double().mean(0)
    # Weights that no gradient reaches decay all the same.
    torch.testing.assert_close(adapter(train.inputs).double(), expected, rtol=0.02, atol=0.01)


def test_gains_scale_the_principal_axes_of_the_training_inputs() -> None:
    stretch = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    rotation = torch.linalg.qr(normal(0, 3, 3))[0]
    inputs = normal(1, 5000, 3) @ stretch @ rotation + 1
    gains = torch.tensor([0.5, 1.0, 1.5])
    targets = (inputs - 1) @ rotation.T @ torch.diag(gains) @ rotation
    train = Pairs(inputs, targets)

    def squared(output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        return (output - target).square().mean()

    adapter = train_adapter("gains", train, train, loss=squared, metric="cosine", seed=0)
    assert sum(p.numel() for p in adapter.parameters()) == 3 + 3
    assert (adapter(inputs) - targets).square().mean() < 1e-3 * targets.var()


def test_a_map_of_low_rank_learns_no_more_than_its_rank() -> None:
    for name, rank in (("low_rank_16", 16), ("low_rank_64", 64)):
        adapter = train_adapter(
            name, split(0, 500, 96, 96), split(1, 50, 96, 96), loss=cosine_loss, metric="cosine", seed=0
        )
        change = adapter.body(torch.eye(96)) - torch.eye(96)
        assert torch.linalg.matrix_rank(change, atol=1e-4) == rank


def test_twenty_epochs_where_they_are_enough_steps() -> None:
    train, epochs = split(0, 256 * 16 - 1), []

    def loss(output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        epochs.append(batch.epoch)
        return cosine_loss(output, target, batch)

    train_adapter("linear", train, split(10, 50), loss=loss, metric="cosine", seed=0)
    assert epochs == [epoch for epoch in range(20) for _ in range(16)]


def test_the_loss_is_told_of_the_batch() -> None:
    train = split(0, 300, groups=True)
    ungrouped = Pairs(train.inputs, train.targets, train.target_ids + 5)
    seen: list[Batch] = []

    def loss(output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        seen.append(batch)
        assert torch.equal(target, train.targets[batch.indices])
        assert torch.equal(batch.inputs, train.inputs[batch.indices])
        value = (output - target).square().mean()
        return value, {"mse": value.detach()}

    train_adapter("linear", train, train, loss=loss, metric="within_mrr", seed=0)
    assert [batch.epoch for batch in seen] == [epoch for epoch in range(150) for _ in range(2)]  # 300 steps
    assert all(len(batch.indices) == 150 for batch in seen)
    assert sorted(torch.cat([seen[0].indices, seen[1].indices]).tolist()) == list(range(300))
    assert not torch.equal(seen[0].indices, seen[2].indices)
    assert train.group_ids is not None
    assert all(torch.equal(batch.group_ids, train.group_ids[batch.indices]) for batch in seen)

    seen.clear()
    train_adapter("linear", ungrouped, ungrouped, loss=loss, metric="cosine", seed=0)
    assert all(torch.equal(batch.group_ids, batch.indices) for batch in seen)
    assert all(torch.equal(batch.target_ids, batch.indices + 5) for batch in seen)


@pytest.mark.parametrize(("metric", "best"), [("cosine", max), ("cosine_shuffled", min)])
def test_keeps_the_best_epoch(
    metric: str, best: Callable[[list[float]], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss turns round half way, so that neither the first nor the last epoch is the best."""
    train, validation = split(0, 300), split(10, 100)
    scores: list[float] = []

    def recorded(output: Tensor, pairs: Pairs) -> dict[str, float]:
        assert pairs is validation
        scores.append(evaluate(output, pairs)[metric])
        return evaluate(output, pairs)

    def loss(output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        towards = target if metric == "cosine" else -target.mean(0).expand_as(target)
        return (1 if batch.epoch < 75 else -1) * -F.cosine_similarity(output, towards).mean()

    monkeypatch.setattr(adapters, "evaluate", recorded)
    adapter = train_adapter("linear", train, validation, loss=loss, metric=metric, seed=0)
    assert len(scores) == 150
    assert best(scores) not in (scores[0], scores[-1])
    assert evaluate(adapter(validation.inputs), validation)[metric] == best(scores)


def test_parameters_of_the_loss_are_trained_in_a_copy() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))
            self.seen: list[Tensor] = seen

        def __deepcopy__(self, memo: dict[int, object]) -> Scaled:
            return Scaled()

        def forward(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
            self.seen.append(self.scale.detach().clone())
            return (1 - F.cosine_similarity(output, target).mean()) * self.scale.square()

    seen: list[Tensor] = []
    loss, train = Scaled(), split(0, 300)
    train_adapter("linear", train, train, loss=loss, metric="cosine", seed=0)
    assert seen[-1] != seen[0]
    assert loss.scale == 1


def test_bad_input_is_reported() -> None:
    train = split(0, 50)
    with pytest.raises(TrainingError, match="adapter 'mlp': metric 'within_mrr' needs rows with groups"):
        train_adapter("mlp", train, train, loss=cosine_loss, metric="within_mrr", seed=0)
    with pytest.raises(TrainingError, match="adapter 'linear': the loss is not finite in epoch 1 of 300"):
        train_adapter("linear", train, train, loss=lambda o, t, b: o.sum() / 0, metric="cosine", seed=0)


def test_the_rate_and_the_batch_can_be_chosen() -> None:
    train, sizes = split(0, 500), []

    def loss(output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        sizes.append(len(output))
        return cosine_loss(output, target, batch)

    def moved(**options: float) -> float:
        adapter = train_adapter("linear", train, split(1, 50), loss=loss, metric="cosine", seed=0, **options)  # type: ignore[arg-type]
        return (adapter.body.weight.detach() - torch.eye(48)).norm().item()  # type: ignore[union-attr,operator]

    assert moved(rate=2.0) > 1.5 * moved()
    sizes.clear()
    moved(batch_size=64)
    assert set(sizes) == {62, 63}


def test_noise_is_drawn_anew_for_every_batch_and_on_inputs_alone() -> None:
    seen: list[Tensor] = []

    def loss(output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        seen.append(torch.cat([batch.inputs - train.inputs[batch.indices], target - train.targets[batch.indices]], 1))
        return cosine_loss(output, target, batch)

    train, validation = split(0, 200), split(10, 50)
    train_adapter("linear", train, validation, loss=loss, metric="cosine", seed=0, noise=0.25, batch_size=200)
    drawn = torch.stack(seen)
    on_inputs = drawn[..., : train.inputs.shape[1]]
    assert on_inputs.std() == pytest.approx(0.25, rel=0.01)
    assert not drawn[..., train.inputs.shape[1] :].any()
    assert (on_inputs[0] * on_inputs[1]).mean().abs() < 0.002  # of 0.0625
