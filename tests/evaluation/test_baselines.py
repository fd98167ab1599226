from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core_engine.data.pairs import Pairs
from core_engine.evaluation import baselines
from core_engine.evaluation.baselines import BASELINES, why_left_out
from core_engine.memory import tables


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rotation(dim: int) -> Tensor:
    orthogonal: Tensor = torch.linalg.qr(normal(9, dim, dim))[0]
    return orthogonal


def test_identity_gives_back_its_input() -> None:
    pairs = Pairs(normal(0, 20, 5), normal(1, 20, 5))
    assert torch.equal(BASELINES["identity"](pairs, pairs, "mrr@10")(pairs.inputs), pairs.inputs)


def test_mean_shift_recovers_a_shift_of_the_training_split() -> None:
    inputs, shift = normal(0, 50, 6) + 2, normal(1, 6)
    train = Pairs(inputs, inputs + shift)
    far_away = Pairs(normal(2, 30, 6) - 50, normal(3, 30, 6) + 50)
    fitted = BASELINES["mean_shift"](train, far_away, "mrr@10")
    unseen = normal(4, 10, 6)
    torch.testing.assert_close(fitted(unseen), unseen + shift)


@pytest.mark.parametrize(("input_dim", "target_dim"), [(6, 6), (6, 4), (4, 7)])
def test_ridge_recovers_a_linear_map(input_dim: int, target_dim: int) -> None:
    matrix, shift = normal(0, input_dim, target_dim), normal(1, target_dim)

    def split(seed: int, rows: int) -> Pairs:
        inputs = normal(seed, rows, input_dim) + 3
        return Pairs(inputs, inputs @ matrix + shift)

    fitted, unseen = BASELINES["ridge"](split(2, 400), split(3, 60), "mrr@10"), split(4, 25)
    torch.testing.assert_close(fitted(unseen.inputs), unseen.targets, atol=2e-3, rtol=0)
    assert fitted(unseen.inputs).dtype == torch.float32


def test_ridge_solves_the_normal_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row more than a block, so that the blocks' sum is what is tested."""
    monkeypatch.setattr(tables, "BLOCK", 32)
    monkeypatch.setattr(baselines, "_RIDGE_STRENGTHS", (1e-2,))
    train = Pairs(normal(0, 65, 5) + 1, normal(1, 65, 3) - 1)
    fitted = BASELINES["ridge"](train, train, "mrr@10")
    x = (train.inputs - train.inputs.mean(0)).double()
    y = (train.targets - train.targets.mean(0)).double()
    matrix = torch.linalg.inv(x.T @ x + 1e-2 * 65 * torch.eye(5)) @ x.T @ y
    expected = x @ matrix + train.targets.mean(0)
    torch.testing.assert_close(fitted(train.inputs), expected.float(), atol=1e-5, rtol=0)


def test_ridge_takes_the_strength_that_validation_likes_best(monkeypatch: pytest.MonkeyPatch) -> None:
    train, validation = Pairs(normal(0, 60, 5), normal(1, 60, 5)), Pairs(normal(2, 20, 5), normal(3, 20, 5))
    scores = iter([0.3, 0.1, 0.4, 0.2])

    def preset(output: Tensor, pairs: Pairs) -> dict[str, float]:
        assert pairs is validation
        assert output.shape == validation.targets.shape
        return {"cosine": next(scores)}

    monkeypatch.setattr(baselines, "evaluate", preset)
    chosen = BASELINES["ridge"](train, validation, "cosine")(train.inputs)
    monkeypatch.undo()
    monkeypatch.setattr(baselines, "_RIDGE_STRENGTHS", (1e-3,))
    assert torch.equal(chosen, BASELINES["ridge"](train, validation, "mrr@10")(train.inputs))
    monkeypatch.setattr(baselines, "_RIDGE_STRENGTHS", (1e-2,))
    assert not torch.equal(chosen, BASELINES["ridge"](train, validation, "mrr@10")(train.inputs))


def test_procrustes_recovers_a_rotation() -> None:
    turn, shift = rotation(7), normal(1, 7)
    train_inputs, unseen = normal(2, 60, 7) + 1, normal(3, 10, 7)
    fitted = BASELINES["procrustes"](
        Pairs(train_inputs, train_inputs @ turn + shift), Pairs(unseen, unseen @ turn + shift), "mrr@10"
    )
    torch.testing.assert_close(fitted(unseen), unseen @ turn + shift, atol=1e-5, rtol=0)


@pytest.mark.parametrize("target_dim", [4, 7, 9])
def test_procrustes_stays_orthogonal_where_the_map_is_not(target_dim: int) -> None:
    train = Pairs(normal(0, 60, 7), normal(0, 60, 7) @ normal(1, 7, target_dim))
    matrix = BASELINES["procrustes"](train, train, "mrr@10").matrix  # type: ignore[attr-defined]
    unit = matrix @ matrix.T if target_dim >= 7 else matrix.T @ matrix
    torch.testing.assert_close(unit, torch.eye(len(unit)), atol=1e-5, rtol=0)


def test_baselines_that_need_equal_dimensions_say_so() -> None:
    narrow = Pairs(normal(0, 10, 6), normal(1, 10, 4))
    square = Pairs(normal(0, 10, 6), normal(1, 10, 6))
    reasons = {name: why_left_out(name, narrow) for name in BASELINES}
    assert [name for name, reason in reasons.items() if reason is None] == ["ridge", "procrustes"]
    assert reasons["identity"] == "identity needs inputs and targets of one dimension, not 6 and 4"
    assert all(why_left_out(name, square) is None for name in BASELINES)
