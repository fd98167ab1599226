from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core_engine import Pairs
from core_engine.data.noise import noise_std, with_noise
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed
from core_engine.training.rows import training_rows, with_shuffled_targets


def pairs(count: int, dim: int = 4, seed: int = 0) -> Pairs:
    generator = torch.Generator().manual_seed(seed)
    return Pairs(torch.randn(count, dim, generator=generator), torch.randn(count, dim, generator=generator))


@given(st.integers(1, 50), st.integers(0, 3), st.integers(0, 1000))
def test_an_epoch_visits_each_row_once_in_an_order_of_its_own(count: int, epoch: int, seed: int) -> None:
    rows = training_rows(pairs(count), None, Dialogue(), seed)
    order = rows.order(epoch, 0.0, 1.0, 16)
    assert sorted(order.tolist()) == list(range(count))
    assert torch.equal(order, rows.order(epoch, 0.0, 1.0, 16))
    if count > 20:
        assert not torch.equal(order, rows.order(epoch + 1, 0.0, 1.0, 16))


@given(st.integers(2, 30), st.integers(1, 30), st.sampled_from([0.1, 0.5, 0.8]))
def test_a_mixed_epoch_holds_every_pair_and_the_share_of_texts(main: int, extra: int, share: float) -> None:
    rows = training_rows(pairs(main), pairs(extra, seed=1), Mixed(autoencoder_share=share), 0)
    order = rows.order(0, 0.0, 1.0, 16)
    assert len(order) == rows.size(0)
    assert sorted(i for i in order.tolist() if i < main) == list(range(main))
    further = [i for i in order.tolist() if i >= main]
    assert len(further) == max(1, round(main * share / (1 - share)))
    counts = [further.count(i) for i in range(main, main + extra)]
    assert max(counts) - min(counts) <= 1


def test_alternating_epochs_take_turns() -> None:
    rows = training_rows(pairs(10), pairs(4, seed=1), Mixed(schedule="alternate"), 0)
    assert [sorted(rows.order(epoch, 0.0, 1.0, 16).tolist()) for epoch in range(3)] == [
        list(range(10)),
        list(range(10, 14)),
        list(range(10)),
    ]


def test_noise_falls_on_autoencoder_rows_only() -> None:
    rows = training_rows(pairs(10), pairs(4, seed=1), Mixed(noise=0.5), 0)
    assert rows.noise is not None
    assert rows.noise[:10].eq(0).all()
    assert rows.noise[10:].gt(0).all()
    assert training_rows(pairs(10), None, Dialogue(), 0).noise is None


def test_equal_targets_of_both_tasks_share_an_id() -> None:
    train = pairs(10)
    extra = Pairs(train.targets.clone(), train.targets.clone())
    joined = training_rows(train, extra, Mixed(), 0).pairs
    assert torch.equal(joined.target_ids[:10], joined.target_ids[10:])
    assert len(joined.target_ids[:10].unique()) == 10


def test_shuffled_targets_stay_with_their_ids_and_leave_inputs_alone() -> None:
    train = pairs(50)
    shuffled = with_shuffled_targets(train, 0)
    assert torch.equal(shuffled.inputs, train.inputs)
    assert torch.equal(shuffled.targets, train.targets[shuffled.target_ids])
    assert shuffled.target_ids.eq(torch.arange(50)).sum() < 5


@pytest.mark.parametrize(("relative", "cosine"), [(0.75, 0.8), (0.2, 1 / math.sqrt(1.04))])
def test_noise_is_relative_to_the_norm_whatever_the_dimension(relative: float, cosine: float) -> None:
    for dim, scale in ((64, 1.0), (512, 30.0)):
        clean = Pairs(scale * torch.nn.functional.normalize(pairs(2000, dim).inputs), pairs(2000, dim).targets)
        noisy = with_noise(clean, noise_std(clean.inputs, relative), seed=0, purpose="test")
        assert torch.cosine_similarity(noisy.inputs, clean.inputs).mean().item() == pytest.approx(cosine, abs=0.01)
        assert torch.equal(noisy.targets, clean.targets)


def test_autoencoder_noise_reaches_the_stated_level_in_training_rows() -> None:
    rows = training_rows(pairs(10, 16), None, Autoencoder(noise=0.75), 0)
    rms = rows.pairs.inputs.square().sum(-1).mean().sqrt()
    assert rows.noise is not None
    assert rows.noise.unique().item() * 4 == pytest.approx(0.75 * rms.item(), rel=1e-5)
