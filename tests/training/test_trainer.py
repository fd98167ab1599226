from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from core_engine import Pairs
from core_engine.errors import CheckpointError, TrainingError
from core_engine.recipe.modes import Autoencoder, Mixed
from core_engine.recipe.training import SGD, Checkpoints, Constant, EarlyStopping
from core_engine.training.checkpoint import load_core_weights, newest_checkpoint, open_checkpoint
from core_engine.training.trainer import Trainer

Make = Callable[..., Trainer]


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trainer.core.parameters()]


def test_training_learns_and_names_what_it_did(make_trainer: Make) -> None:
    trainer = make_trainer(epochs=30)
    outcome = trainer.run()
    evaluations = [record for record in outcome.history if record.kind == "evaluation"]
    assert outcome.finished
    assert outcome.step == 30 * 7
    assert evaluations[-1].values["recall@1"] > evaluations[0].values["recall@1"] + 0.3
    assert outcome.without_gradient == []


def test_a_step_is_what_a_loop_by_hand_does(make_trainer: Make) -> None:
    trainer = make_trainer(epochs=None, max_steps=9, optimizer=SGD(lr=0.1), schedule=Constant(), clip_norm=0.5)
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rows = trainer.rows
    for step in range(9):
        indices = rows.order(step // 7, 0.0, 1.0, 16)[16 * (step % 7) : 16 * (step % 7) + 16]
        output = model(rows.pairs.inputs[indices])
        (1 - torch.cosine_similarity(output, rows.pairs.targets[indices])).mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
    trainer.run()
    for ours, theirs in zip(trainer.core.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_accumulation_gives_the_gradient_of_the_whole_batch(make_trainer: Make) -> None:
    whole, parts = make_trainer(folder="a"), make_trainer(folder="b", accumulate=4)
    whole.run(), parts.run()
    for ours, theirs in zip(weights(whole), weights(parts), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stop_at", [1, 5, 7, 8, 14, 16])
@pytest.mark.parametrize("mode", [Autoencoder(noise=0.5), Mixed(noise=0.3), Mixed(schedule="alternate", noise=0.3)])
def test_a_resumed_run_ends_with_the_same_bits(make_trainer: Make, mode: Any, stop_at: int) -> None:
    generator = torch.Generator().manual_seed(5)
    rows = torch.randn(40, 8, generator=generator)
    extra = Pairs(rows, rows) if isinstance(mode, Mixed) else None
    straight = make_trainer(mode, folder="straight", extra=extra)
    straight_outcome = straight.run()

    broken = make_trainer(mode, folder="broken", extra=extra, should_stop=lambda step: step == stop_at)
    assert not broken.run().finished
    broken.save()
    torch.manual_seed(12345)  # nothing may hang on the global generator
    resumed = make_trainer(mode, folder="broken", extra=extra)
    for parameter in resumed.core.parameters():
        nn.init.zeros_(parameter)
    resumed.restore(newest_checkpoint(resumed.checkpoints.parent, "step"))
    assert resumed.step == stop_at
    outcome = resumed.run()
    for ours, theirs in zip(weights(resumed), weights(straight), strict=True):
        assert torch.equal(ours, theirs)
    assert outcome.history == straight_outcome.history


def test_a_stopped_trainer_can_be_gone_on_with(make_trainer: Make) -> None:
    stops = [3, 8]
    trainer = make_trainer(should_stop=lambda step: step in stops)
    assert [trainer.run().step for _ in stops] == stops
    assert trainer.run().finished


def test_training_leaves_the_global_generator_alone(make_trainer: Make) -> None:
    trainer = make_trainer(Autoencoder(noise=0.5))
    before = torch.get_rng_state()
    trainer.run()
    assert torch.equal(before, torch.get_rng_state())


def test_a_parameter_out_of_reach_is_named(make_trainer: Make) -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Linear(8, 8)
            self.unused = nn.Linear(8, 8)
            self.cut = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x) + 0 * self.cut(x)

    outcome = make_trainer(core=Deaf()).run()
    assert sorted(outcome.without_gradient) == ["cut.bias", "cut.weight", "unused.bias", "unused.weight"]


def test_a_loss_that_reaches_no_parameter_trains_nothing_and_says_so(make_trainer: Make) -> None:
    outside = torch.ones((), requires_grad=True)
    trainer = make_trainer(loss=lambda output, target, batch: outside * 2)
    before = [parameter.clone() for parameter in trainer.core.parameters()]
    outcome = trainer.run()
    assert outcome.finished
    assert len(outcome.without_gradient) == len(before)
    assert all(torch.equal(*pair) for pair in zip(before, trainer.core.parameters(), strict=True))


def test_a_loss_that_is_not_finite_stops_the_run(make_trainer: Make) -> None:
    trainer = make_trainer(loss=lambda output, target, batch: output.sum() * float("nan"))
    with pytest.raises(TrainingError, match=r"step 1 \(epoch 1\) is not finite\. .*: the output of loss"):
        trainer.run()
    assert not trainer.checkpoints.exists()


def test_a_core_without_trainable_parameters_is_an_error(make_trainer: Make) -> None:
    with pytest.raises(TrainingError, match="nothing to train"):
        make_trainer(core=nn.Linear(8, 8).requires_grad_(False))


def test_a_loss_must_be_scalar(make_trainer: Make) -> None:
    with pytest.raises(TrainingError, match=r"loss 'cosine' must return a scalar tensor, not a tensor of shape \[16\]"):
        make_trainer(loss=lambda output, target, batch: torch.cosine_similarity(output, target)).run()


def test_a_losss_own_parameters_are_trained_and_resumed(make_trainer: Make) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, output: Any, target: Any, batch: Any) -> Any:
            loss = (self.scale * output - target).square().mean()
            return loss, {"scale": self.scale}

    straight, stopped = Scaled(), Scaled()
    outcome = make_trainer(loss=straight, folder="a").run()
    assert straight.scale.item() != 1.0
    assert "loss/cosine/scale" in outcome.history[0].values
    broken = make_trainer(loss=stopped, folder="b", should_stop=lambda step: step == 10)
    broken.run()
    broken.save()
    resumed_loss = Scaled()
    resumed = make_trainer(loss=resumed_loss, folder="b")
    resumed.restore(newest_checkpoint(resumed.checkpoints.parent, "step"))
    resumed.run()
    assert resumed_loss.scale.item() == straight.scale.item()


def test_early_stopping_ends_the_run_with_a_reason(make_trainer: Make) -> None:
    outcome = make_trainer(epochs=50, early_stopping=EarlyStopping(target=0.1)).run()
    assert outcome.finished
    assert outcome.epoch < 50
    assert "reached the target" in outcome.reason


def test_checkpoints_rotate_and_keep_what_they_go_back_to(make_trainer: Make) -> None:
    trainer = make_trainer(epochs=6, checkpoints=Checkpoints(every_steps=3, keep=2))
    outcome = trainer.run()
    names = sorted(path.name for path in trainer.checkpoints.iterdir())
    steps = [name for name in names if name.startswith("step-")]
    assert steps == ["step-00000039", "step-00000042"]
    assert f"best-{outcome.best_step:08d}" in names


def test_going_back_discards_what_came_later(make_trainer: Make) -> None:
    trainer = make_trainer(epochs=6, checkpoints=Checkpoints(every_steps=3, keep=20))
    trainer.run()
    earlier = trainer.checkpoints / "step-00000012"
    again = make_trainer(epochs=6, checkpoints=Checkpoints(every_steps=3, keep=20))
    again.restore(open_checkpoint(earlier))
    left = [int(path.name.split("-")[1]) for path in trainer.checkpoints.iterdir()]
    assert max(left) == 12
    again.run()
    for ours, theirs in zip(weights(again), weights(trainer), strict=True):
        assert torch.equal(ours, theirs)


def test_a_run_that_stopped_early_stays_stopped_when_resumed(make_trainer: Make) -> None:
    rules = EarlyStopping(target=0.1)
    first = make_trainer(epochs=50, early_stopping=rules)
    outcome = first.run()
    again = make_trainer(epochs=50, early_stopping=rules)
    again.restore(newest_checkpoint(again.checkpoints.parent, "step"))
    resumed = again.run()
    assert (resumed.step, resumed.reason, resumed.finished) == (outcome.step, outcome.reason, True)


def test_the_last_step_is_always_saved(make_trainer: Make) -> None:
    trainer = make_trainer(checkpoints=Checkpoints(every_seconds=10_000))
    outcome = trainer.run()
    assert newest_checkpoint(trainer.checkpoints.parent, "step").step == outcome.step


def test_every_steps_holds_at_the_end_of_an_epoch_too(make_trainer: Make) -> None:
    trainer = make_trainer(checkpoints=Checkpoints(every_seconds=10_000, every_steps=7, keep=10))
    trainer.run()
    assert sorted(path.name for path in trainer.checkpoints.glob("step-*")) == [
        f"step-{step:08d}" for step in (7, 14, 21)
    ]


def test_weights_that_are_not_finite_are_neither_saved_nor_scored(make_trainer: Make) -> None:
    trainer = make_trainer(
        optimizer=SGD(lr=1000.0),
        schedule=Constant(),
        clip_norm=None,
        loss=lambda output, target, batch: (output - target).square().mean() * 1e30,
        checkpoints=Checkpoints(every_steps=1),
    )
    with pytest.raises(TrainingError, match="checkpoints written so far are of finite weights"):
        trainer.run()
    for path in trainer.checkpoints.glob("*"):
        load_core_weights(open_checkpoint(path), trainer.core)
        assert all(weight.isfinite().all() for weight in weights(trainer))


def test_a_damaged_older_checkpoint_is_in_nobodys_way(make_trainer: Make) -> None:
    options = {"epochs": 4, "checkpoints": Checkpoints(every_steps=3, keep=3)}
    stopped = make_trainer(**options, should_stop=lambda step: step == 9)
    stopped.run()
    stopped.save()
    (stopped.checkpoints / "step-00000006" / "checkpoint.json").write_text("{")
    again = make_trainer(**options)
    again.restore(newest_checkpoint(again.checkpoints.parent, "step"))
    assert again.run().finished


def test_a_missing_best_core_is_found_when_resuming_not_at_the_end(make_trainer: Make) -> None:
    stopped = make_trainer(should_stop=lambda step: step == 9)
    stopped.run()
    stopped.save()
    for path in stopped.checkpoints.glob("best-*"):
        shutil.rmtree(path)
    with pytest.raises(CheckpointError, match="best-"):
        make_trainer().restore(newest_checkpoint(stopped.checkpoints.parent, "step"))


def test_a_losss_buffers_never_see_validation_rows(make_trainer: Make) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("rows", torch.zeros(()))

        def forward(self, output: Any, target: Any, batch: Any) -> Any:
            if self.training:
                self.rows += len(output)
            return (output - target).square().mean()

    loss = Counting()
    make_trainer(loss=loss, epochs=2).run()
    assert loss.rows.item() == 200


def test_a_last_batch_of_one_row_does_not_hide_the_gradients(make_trainer: Make) -> None:
    def needs_two(output: Any, target: Any, batch: Any) -> Any:
        return (output - target).square().mean() * (len(output) > 4)

    assert make_trainer(loss=needs_two).run().without_gradient == []


def test_as_many_epochs_as_anyone_could_ask_for_are_counted_at_once(make_trainer: Make) -> None:
    outcome = make_trainer(epochs=10**15, max_steps=3).run()
    assert outcome.step == 3
