"""Gradients that are not finite, half precision, and what the log says of steps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from core_engine.errors import TrainingError
from core_engine.recipe.training import SGD, Adam, AdamW, Checkpoints, Constant
from core_engine.training.checkpoint import newest_checkpoint
from core_engine.training.trainer import Trainer

Make = Callable[..., Trainer]


class Planted(nn.Module):
    """The identity, but that at call ``at`` (from 1) of training it multiplies by ``factor``."""

    def __init__(self, at: int, factor: float) -> None:
        super().__init__()
        self.at, self.factor, self.calls = at, factor, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return x * self.factor if self.training and self.calls == self.at else x


class PlantedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float("inf")


class Backward(nn.Module):
    """The identity, whose gradient is not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        passed: torch.Tensor = PlantedGradient.apply(x)  # type: ignore[no-untyped-call]
        return passed * self.weight


def core_with(middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(8, 16), middle, nn.GELU(), nn.Linear(16, 8))


class Repeating(Planted):
    """Not finite from call ``at`` on, as a cell that diverges is: so also where a step is computed again."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return x * self.factor if self.training and self.calls >= self.at else x


def test_the_first_module_that_is_not_finite_is_named(make_trainer: Make) -> None:
    trainer = make_trainer(core=core_with(Repeating(10, float("nan"))), batch_size=16)
    rows = trainer.rows.order(1, 0, 1, 16)[32:42].tolist()
    with pytest.raises(
        TrainingError,
        match=rf"step 10 \(epoch 2\) is not finite\..*: the output of core\.1 \(Repeating\)\. "
        rf"Training rows \(from 0\): {', '.join(map(str, rows))} and 6 more\.",
    ):
        trainer.run()
    assert all(parameter.isfinite().all() for parameter in trainer.core.parameters()), "no update was made"


def test_a_gradient_that_is_not_finite_is_traced_to_its_module(make_trainer: Make) -> None:
    with pytest.raises(TrainingError, match=r"the gradient that core\.1 \(Backward\) passes back"):
        make_trainer(core=core_with(Backward())).run()


@pytest.mark.parametrize("optimizer", [AdamW(lr=0.01), Adam(lr=0.01), SGD(lr=0.01)])
@pytest.mark.parametrize("at", [1, 10])
def test_a_skipped_step_leaves_no_trace_in_weights_or_optimiser(make_trainer: Make, optimizer: Any, at: int) -> None:
    trainer = make_trainer(
        core=core_with(Planted(at, float("inf"))), optimizer=optimizer, schedule=Constant(), non_finite="skip"
    )
    states: list[Any] = []

    def note(step: int) -> bool:
        states.append(copy.deepcopy((trainer.core.state_dict(), trainer._updates.optimizer.state_dict())))
        return False

    first = copy.deepcopy(trainer.core.state_dict())
    trainer.should_stop = note
    history = trainer.run().history
    # The last step of an epoch is noted after it, so that only those inside are compared.
    before, after = (first if at == 1 else states[at - 2][0]), states[at - 1][0]
    assert all(torch.equal(before[name], after[name]) for name in before)
    if at > 1:
        for old, new in zip(states[at - 2][1]["state"].values(), states[at - 1][1]["state"].values(), strict=True):
            assert all(torch.equal(old[key], new[key]) for key in old)
    later = states[at][0]
    assert not torch.equal(later["0.weight"], after["0.weight"]), "the next one is taken"
    skipped = [record.values["skipped_steps"] for record in history if record.kind == "train"]
    assert skipped == [float(at <= 7), float(at > 7), 0.0]
    assert all(record.values["loss"] < 2 for record in history if record.kind == "train")


def test_a_run_of_steps_that_are_all_skipped_is_an_error(make_trainer: Make) -> None:
    trainer = make_trainer(core=core_with(Repeating(1, float("nan"))), non_finite="skip")
    with pytest.raises(TrainingError, match=r"no step of epoch 1 \(to step 7\) had a finite gradient"):
        trainer.run()


def test_what_is_not_finite_is_never_saved(make_trainer: Make) -> None:
    trainer = make_trainer(core=core_with(Repeating(9, float("nan"))), checkpoints=Checkpoints(every_steps=4, keep=9))
    with pytest.raises(TrainingError, match=r"step 9 .* is not finite"):
        trainer.run()
    assert [path.name for path in sorted(trainer.checkpoints.glob("step-*"))] == ["step-00000004", "step-00000008"]


def test_float16_goes_on_after_a_planted_overflow(make_trainer: Make) -> None:
    """The scale of the loss is halved and the step left out; then it trains as before."""
    trainer = make_trainer(core=core_with(Planted(10, 1e8)), precision="float16", epochs=20)
    outcome = trainer.run()
    train = [record.values for record in outcome.history if record.kind == "train"]
    assert sum(values["skipped_steps"] for values in train) >= 1
    assert train[1]["loss_scale"] < train[0]["loss_scale"]
    evaluations = [record.values["cosine"] for record in outcome.history if record.kind == "evaluation"]
    assert evaluations[-1] > evaluations[0] + 0.2


def test_float16_that_overflows_at_any_scale_says_so(make_trainer: Make) -> None:
    trainer = make_trainer(core=core_with(Repeating(8, 1e8)), precision="float16", epochs=40)
    with pytest.raises(TrainingError, match=r"no step of epoch|gradients overflow float16 however the loss is scaled"):
        trainer.run()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_computes_in_half_and_keeps_weights_whole(make_trainer: Make, precision: str) -> None:
    seen: list[torch.dtype] = []
    core = core_with(nn.Identity())
    core[0].register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    trainer = make_trainer(core=core, precision=precision, epochs=1)
    trainer.run()
    assert seen[:7] == [getattr(torch, precision)] * 7
    assert set(seen[7:]) == {torch.float32}, "evaluation"
    assert all(parameter.dtype == torch.float32 for parameter in core.parameters())


@pytest.mark.parametrize("stop_at", [5, 9, 10, 17])
def test_a_float16_run_resumes_to_the_same_bits(make_trainer: Make, stop_at: int) -> None:
    def make(folder: str, calls: int = 0, **options: Any) -> Trainer:
        middle = Planted(9, 1e8)
        middle.calls = calls
        return make_trainer(core=core_with(middle), precision="float16", folder=folder, **options)

    straight = make("straight")
    wanted = straight.run()
    broken = make("broken", should_stop=lambda step: step == stop_at)
    broken.run()
    broken.save()
    resumed = make("broken", calls=stop_at)
    resumed.restore(newest_checkpoint(resumed.checkpoints.parent, "step"))
    found = resumed.run()
    assert found.history == wanted.history
    for ours, theirs in zip(resumed.core.parameters(), straight.core.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_norm_of_the_gradient_is_logged_before_clipping(make_trainer: Make) -> None:
    def norms(clip: float | None) -> list[float]:
        trainer = make_trainer(epochs=1, clip_norm=clip, optimizer=SGD(lr=1e-9, momentum=0.0))
        return [record.values["grad_norm"] for record in trainer.run().history if record.kind == "train"]

    assert norms(1e-3) == pytest.approx(norms(None), rel=1e-5)


def test_a_profile_says_where_the_time_goes(make_trainer: Make) -> None:
    trainer = make_trainer(epochs=2, profile=True, checkpoints=Checkpoints(every_steps=3))
    trainer.run()
    seconds = trainer._clock.seconds
    assert set(seconds) >= {"data", "forward", "loss", "backward", "optimiser", "checkpoints"}
    assert all(value > 0 for value in seconds.values())
