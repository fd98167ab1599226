"""Scheduled weights, samplers, negatives, averaged weights, GradCache and decay groups in the training loop."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from torch import nn

from core_engine import Batch, Epoch, Pairs, Ramp, Search
from core_engine.errors import TrainingError
from core_engine.recipe.modes import Mixed
from core_engine.recipe.training import SGD, AdamW, Constant
from core_engine.training.checkpoint import load_core_weights, newest_checkpoint
from core_engine.training.criterion import Criterion
from core_engine.training.trainer import Trainer

Make = Callable[..., Trainer]


def in_batch(output: torch.Tensor, target: torch.Tensor, batch: Batch) -> torch.Tensor:
    """A loss in which rows meet: a large batch is not the sum of its parts."""
    logits = torch.nn.functional.normalize(output) @ torch.nn.functional.normalize(target).T / 0.1
    return nn.functional.cross_entropy(logits, torch.arange(len(output)))


def batch_at(progress: float) -> Batch:
    rows = torch.arange(2)
    return Batch(rows, torch.ones(2, 3), rows, rows, 0, progress)


def test_weights_of_losses_follow_their_schedule() -> None:
    ones = lambda output, target, batch: torch.tensor(1.0)  # noqa: E731
    criterion = Criterion([("a", Ramp(1.0, 3.0), ones), ("b", 0.5, ones)])
    found = [float(criterion(torch.ones(2, 3), torch.ones(2, 3), batch_at(p))[0]) for p in (0.0, 0.5, 1.0)]
    assert found == [1.5, 2.5, 3.5]


def test_a_loss_is_fitted_and_told_of_evaluations() -> None:
    told: list[str] = []

    class Curious(nn.Module):
        def forward(self, output: Any, target: Any, batch: Any) -> Any:
            return output.sum()

        def fit(self, target: torch.Tensor, batch: Batch) -> None:
            told.append(f"fit {len(target)}")

        def validated(self, output: torch.Tensor, target: torch.Tensor, batch: Batch) -> None:
            told.append(f"validated {len(output)}")

    criterion = Criterion([("a", 1.0, Curious()), ("b", 1.0, in_batch)])
    criterion.fit(torch.ones(2, 3), batch_at(0))
    criterion.validated(torch.ones(4, 3), torch.ones(4, 3), batch_at(0))
    assert told == ["fit 2", "validated 4"]


def test_the_trainer_says_how_far_it_is_and_passes_what_rows_have(make_trainer: Make) -> None:
    seen: list[Batch] = []

    def noting(output: torch.Tensor, target: torch.Tensor, batch: Batch) -> torch.Tensor:
        if torch.is_grad_enabled():
            seen.append(batch)
        return in_batch(output, target, batch)

    pairs = make_trainer().rows.pairs
    pairs = attrs.evolve(pairs, difficulty=torch.arange(100) / 100, further={"big": pairs.targets.repeat(1, 2)})
    make_trainer(loss=noting, epochs=2, pairs=pairs).run()
    assert [batch.progress for batch in seen] == [step / 14 for step in range(14)]
    for batch in seen:
        assert torch.equal(batch.difficulty, batch.indices / 100)  # type: ignore[arg-type]
        assert torch.equal(batch.further["big"], pairs.targets[batch.indices].repeat(1, 2))
        assert batch.negatives is None


class Easiest:
    """The first rows, more of them every epoch."""

    def order(self, epoch: Epoch) -> torch.Tensor:
        count = max(1, round(epoch.rows * epoch.end))
        return torch.randint(count, (epoch.rows,), generator=epoch.generator)


def test_a_sampler_chooses_the_rows_and_the_log_says_which(make_trainer: Make) -> None:
    pairs = attrs.evolve(make_trainer().rows.pairs, difficulty=(torch.arange(100) + 1) / 100)
    trainer = make_trainer(epochs=4, pairs=pairs, sampler=Easiest())
    history = [record.values for record in trainer.run().history if record.kind == "train"]
    shares = [values["rows_seen"] for values in history]
    assert shares == sorted(shares)
    for number, values in enumerate(history, start=1):
        assert values["rows_seen"] <= number / 4
        assert values["difficulty"] == pytest.approx(number / 8, abs=0.05)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (torch.zeros(3, dtype=torch.int64), r"sampler Wrong gave torch.int64 \[3\]; an order is int64 \[100\]"),
        (torch.zeros(100), r"sampler Wrong gave torch.float32 \[100\]"),
        (torch.full((100,), 100), "a row number that is not in 0 to 99"),
        ([0] * 100, "sampler Wrong gave list"),
    ],
)
def test_what_a_sampler_gives_is_checked(make_trainer: Make, order: Any, message: str) -> None:
    class Wrong:
        def order(self, epoch: Epoch) -> torch.Tensor:
            return order

    with pytest.raises(TrainingError, match=message):
        make_trainer(sampler=Wrong()).run()


def test_a_mixed_run_goes_smoothly_from_one_task_to_the_other(make_trainer: Make) -> None:
    texts = torch.randn(40, 8, generator=torch.Generator().manual_seed(5))
    shares: list[list[float]] = []

    def noting(output: torch.Tensor, target: torch.Tensor, batch: Batch) -> torch.Tensor:
        if torch.is_grad_enabled():
            while len(shares) <= batch.epoch:
                shares.append([])
            shares[batch.epoch].extend((batch.indices >= 100).float().tolist())
        return in_batch(output, target, batch)

    mode = Mixed(autoencoder_share=Ramp(1.0, 0.0, until=0.8))
    trainer = make_trainer(mode, extra=Pairs(texts, texts), loss=noting, epochs=5)
    trainer.run()
    assert [len(epoch) for epoch in shares] == [100] * 5
    assert [sum(epoch) / 100 for epoch in shares] == [1.0, 0.75, 0.5, 0.25, 0.0]


@attrs.define
class Next:
    """The target that stands next to the right one; counts how often it was asked."""

    refresh_every: int = 2
    asked: list[Search] = attrs.field(factory=list)

    def choose(self, search: Search) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked.append(search)
        rows = ((search.own + len(self.asked)) % len(search.corpus))[:, None]
        return rows, torch.ones_like(rows, dtype=torch.bool)


def apart(output: torch.Tensor, target: torch.Tensor, batch: Batch) -> torch.Tensor:
    loss = (output - target).square().mean()
    if batch.negatives is not None:
        loss = loss - 0.1 * (output[:, None] - batch.negatives).square().mean()
    return loss


def test_negatives_are_chosen_by_the_teacher_first_and_then_by_the_core(make_trainer: Make) -> None:
    negatives = Next()
    trainer = make_trainer(loss=apart, epochs=5)
    trainer.negatives = negatives
    trainer.run()
    pairs = trainer.rows.pairs
    assert len(negatives.asked) == 3, "in epochs 0, 2 and 4"
    first, second, _ = negatives.asked
    assert torch.equal(first.queries, pairs.inputs)
    assert not torch.equal(second.queries, pairs.inputs)
    assert torch.equal(first.corpus[first.own], pairs.targets)


@pytest.mark.parametrize("stop_at", [5, 7, 16, 21])
def test_a_run_with_all_of_it_resumes_to_the_same_bits(make_trainer: Make, stop_at: int) -> None:
    def make(folder: str, should_stop: Callable[[int], bool] = lambda step: False) -> Trainer:
        trainer = make_trainer(
            loss=apart,
            folder=folder,
            sampler=Easiest(),
            epochs=4,
            ema=0.9,
            accumulate=2,
            grad_cache=True,
            should_stop=should_stop,
        )
        trainer.negatives = Next()
        return trainer

    straight = make("straight")
    wanted = straight.run()
    broken = make("broken", lambda step: step == stop_at)
    broken.run()
    broken.save()
    resumed = make("broken")
    resumed.negatives.asked = [None] * ((stop_at // 7) // 2 + (stop_at % 7 > 0 or stop_at % 14 == 7))  # type: ignore[union-attr]
    resumed.restore(newest_checkpoint(resumed.checkpoints.parent, "step"))
    found = resumed.run()
    assert found.history == wanted.history
    for ours, theirs in zip(resumed.core.parameters(), straight.core.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("rows", "holds", "message"),
    [
        (torch.zeros(100, 1), torch.ones(100, 1, dtype=torch.bool), "negatives Wrong gave torch.float32"),
        (torch.full((100, 1), 100), torch.ones(100, 1, dtype=torch.bool), "a row that is not in 0 to 99"),
        (torch.zeros(100, 1, dtype=torch.int64), torch.ones(100, 1, dtype=torch.bool), "its own target as a wrong one"),
    ],
)
def test_what_negatives_give_is_checked(make_trainer: Make, rows: Any, holds: Any, message: str) -> None:
    class Wrong:
        refresh_every = 1

        def choose(self, search: Search) -> tuple[torch.Tensor, torch.Tensor]:
            return rows, holds

    trainer = make_trainer()
    trainer.negatives = Wrong()
    with pytest.raises(TrainingError, match=message):
        trainer.run()


def gradients(trainer: Trainer) -> list[torch.Tensor]:
    """After one step of plain descent at rate 1 the weights have moved by minus the gradient."""
    before = [p.detach().clone() for p in trainer.core.parameters()]
    trainer.run()
    return [old - new.detach() for old, new in zip(before, trainer.core.parameters(), strict=True)]


def test_grad_cache_gives_the_gradient_of_the_large_batch(make_trainer: Make) -> None:
    options = {"loss": in_batch, "max_steps": 1, "epochs": None, "clip_norm": None, "schedule": Constant()}
    options |= {"optimizer": SGD(lr=1.0, momentum=0.0), "batch_size": 96}
    whole = gradients(make_trainer(folder="whole", **options))
    cached = gradients(make_trainer(folder="cached", accumulate=8, grad_cache=True, **options))
    parts = gradients(make_trainer(folder="parts", accumulate=8, **options))
    for wanted, found, other in zip(whole, cached, parts, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)
        assert not torch.allclose(other, wanted, rtol=1e-2), "in parts alone it is another gradient"


def peak_bytes(trainer: Trainer) -> int:
    """Most memory that PyTorch held at once beyond what it had, by the profiler's account of every allocation."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        trainer.run()
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    assert changes
    return max(itertools.accumulate(size for _, size in changes))


def test_grad_cache_takes_a_quarter_of_the_memory(make_trainer: Make) -> None:
    """Of a core whose activations outweigh embeddings and weights, as a lattice's do."""

    class Lattice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state = x[:, None].expand(-1, 400, -1)
            for _ in range(4):
                state = state + torch.tanh(self.cell(state))
            return state.mean(1)

    options = {"loss": in_batch, "epochs": None, "max_steps": 1, "batch_size": 96}
    whole = peak_bytes(make_trainer(core=Lattice(), folder="whole", **options))
    cached = peak_bytes(make_trainer(core=Lattice(), folder="cached", accumulate=8, grad_cache=True, **options))
    assert cached <= whole / 4


def test_the_average_of_the_weights_is_what_is_kept(make_trainer: Make) -> None:
    trainer = make_trainer(epochs=1, ema=0.5, optimizer=SGD(lr=0.1), schedule=Constant())
    seen: list[torch.Tensor] = []
    trainer.should_stop = lambda step: bool(seen.append(trainer.core[0].weight.detach().clone()))  # type: ignore[func-returns-value, index]
    outcome = trainer.run()
    seen.append(trainer.core[0].weight.detach().clone())  # type: ignore[index]
    average = seen[0]
    for number, weight in enumerate(seen[1:], start=1):
        decay = min(0.5, (1 + number) / (10 + number))
        average = decay * average + (1 - decay) * weight
    kept = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
    load_core_weights(newest_checkpoint(trainer.checkpoints.parent, "best"), kept)
    assert outcome.best_step == 7
    torch.testing.assert_close(kept[0].weight.detach(), average)
    assert not torch.allclose(kept[0].weight, trainer.core[0].weight)  # type: ignore[index]


def test_what_is_not_decayed_stays_where_no_gradient_moves_it(make_trainer: Make) -> None:
    def nothing(output: torch.Tensor, target: torch.Tensor, batch: Batch) -> torch.Tensor:
        return 0 * output.sum()

    optimizer = AdamW(lr=0.1, weight_decay=0.5, no_decay=["*.bias", "2.*"])
    trainer = make_trainer(loss=nothing, epochs=1, optimizer=optimizer, schedule=Constant())
    before = {name: value.detach().clone() for name, value in trainer.core.named_parameters()}
    trainer.run()
    moved = {name for name, value in trainer.core.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"0.weight"}


def test_a_losss_parameters_are_not_decayed(make_trainer: Make) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(3.0))

        def forward(self, output: Any, target: Any, batch: Any) -> Any:
            return output.square().mean() + 0 * self.scale

    loss = Scaled()
    make_trainer(loss=loss, epochs=1, optimizer=AdamW(weight_decay=0.5)).run()
    assert loss.scale.item() == 3.0


def test_a_pattern_that_fits_nothing_is_an_error(make_trainer: Make) -> None:
    with pytest.raises(TrainingError, match=r"no_decay: 'biass' fits no parameter of the core: 0\.weight, 0\.bias"):
        make_trainer(optimizer=AdamW(no_decay=["biass"]))
