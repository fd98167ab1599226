"""The training loop. Embeddings live on the device and batches are slices of a permutation: no DataLoader, no
copies.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import attrs
import structlog
import torch
from attrs import define, field, frozen
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from core_engine.contracts.objects import Negatives, Record
from core_engine.core.processor import EmbeddingProcessor
from core_engine.data.pairs import Pairs
from core_engine.errors import CheckpointError, TrainingError
from core_engine.recipe.training import Train
from core_engine.training.activations import state_sizes
from core_engine.training.average import average_of
from core_engine.training.checkpoint import (
    Checkpoint,
    discard_after,
    load_core_weights,
    load_state,
    open_checkpoint,
    rotate,
    save_checkpoint,
)
from core_engine.training.clock import Clock
from core_engine.training.criterion import Criterion
from core_engine.training.culprit import find_culprit
from core_engine.training.events import Events
from core_engine.training.inference import apply_core
from core_engine.training.negatives import NegativeTable, choose_negatives, distinct_targets
from core_engine.training.optim import LOSS_PREFIX, PlateauState, RateSchedule, build_optimizer
from core_engine.training.passes import Passes
from core_engine.training.plan import monitor_of, total_steps, trained_parameters
from core_engine.training.ranks import Ranks
from core_engine.training.rows import TrainingRows
from core_engine.training.stopping import Monitor, Progress
from core_engine.training.tally import Tally
from core_engine.training.update import Updates
from core_engine.training.validation import score_output

log = structlog.get_logger("core_engine.training")

#: Optimiser steps between two looks at whether all were finite: each look waits for the device.
_LOOK_EVERY = 100
#: Optimiser steps between two agreements of several processes on whether to stop.
_AGREE_EVERY = 10

_REMEDY = "lower train.optimizer.lr or set train.clip_norm; checkpoints written so far are of finite weights"


@frozen
class Outcome:
    """How training ended. ``finished`` is False where it was asked to stop before its end.

    ``rows_per_s``: training rows, of all processes, by second of their steps; of this call, evaluations left out.
    """

    step: int
    epoch: int
    finished: bool
    reason: str
    history: list[Record]
    best_step: int | None
    without_gradient: list[str]
    rows_per_s: float


@define(eq=False)
class Trainer:
    """Trains ``core`` on ``rows``. Everything random is keyed by (seed, epoch, batch), so a run resumed from a
    checkpoint ends with the weights of one that was never interrupted.

    ``should_stop`` is asked after every optimiser step, with the number of steps done.
    """

    core: nn.Module
    criterion: Criterion
    rows: TrainingRows
    validation: Pairs
    options: Train
    seed: int
    checkpoints: Path
    facts: dict[str, Any]
    events: Events
    should_stop: Callable[[int], bool] = lambda step: False
    negatives: Negatives | None = None
    ranks: Ranks = field(factory=Ranks)

    step: int = field(default=0, init=False)
    epoch: int = field(default=0, init=False)
    _batch: int = field(default=0, init=False)
    _progress: Progress = field(factory=Progress, init=False)
    _plateau: PlateauState = field(factory=PlateauState, init=False)
    _history: list[Record] = field(factory=list, init=False)
    _tally: Tally = field(factory=Tally, init=False)
    _asked: bool = field(default=False, init=False)
    _stopped: str | None = field(default=None, init=False)
    _stepped_rows: int = field(default=0, init=False)
    _stepped_seconds: float = field(default=0.0, init=False)
    _saved_at: float = field(factory=time.monotonic, init=False)
    _monitor: Monitor = field(init=False)
    _trained: list[tuple[str, nn.Parameter]] = field(init=False)
    _parameters: list[nn.Parameter] = field(init=False)
    _core_parameters: list[nn.Parameter] = field(init=False)
    _updates: Updates = field(init=False)
    _passes: Passes = field(init=False)
    _clock: Clock = field(init=False)
    _rates: RateSchedule = field(init=False)
    _average: AveragedModel | None = field(default=None, init=False)
    _has_gradient: Tensor = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._monitor = monitor_of(self.options, self.validation)
        self._trained = trained_parameters(self.core, self.criterion)
        self._parameters = [parameter for _, parameter in self._trained]
        # Those of losses are given the gradient of the whole batch by every process.
        self._core_parameters = [p for name, p in self._trained if not name.startswith(LOSS_PREFIX)]
        self._rates = RateSchedule(self.options.schedule, total_steps(self.options, self.rows))
        if self.options.ema is not None:
            self._average = average_of(self.core, self.options.ema)
        device = self.rows.pairs.inputs.device
        optimizer = build_optimizer(self.options.optimizer, self._trained)
        self._updates = Updates(optimizer, self._parameters, self.options, device)
        self._clock = self.events.clock
        self._passes = Passes(
            core=self.core,
            criterion=self.criterion,
            rows=self.rows,
            options=self.options,
            seed=self.seed,
            total_steps=self._rates.total_steps,
            backward=self._updates.backward,
            ranks=self.ranks,
            clock=self._clock,
        )
        self._has_gradient = torch.zeros(len(self._trained), dtype=torch.bool, device=device)

    def run(self) -> Outcome:
        """Trains to the end, or until a rule or ``should_stop`` says so; then it can be called again to go on, or
        saved.

        TrainingError where the loss is not finite.
        """
        self._asked = False
        while self._stopped is None and self.step < self._rates.total_steps:
            started = time.perf_counter()
            whole = self._finish_epoch()
            self._stepped_seconds += time.perf_counter() - started
            if not whole:
                return self._outcome("asked to stop", finished=False)
            self.epoch += 1
            self._batch = 0
            self._stopped = self._close_epoch()
            if self._save_is_due():
                self.save()
            if self._stopped is None and self.step < self._rates.total_steps and self._asked_to_stop():
                return self._outcome("asked to stop", finished=False)
        return self._outcome(self._stopped or "all steps done", finished=True)

    def _save_is_due(self) -> bool:
        """At the end of an epoch. Always after the last one: what follows may take long, and must not cost the
        training.
        """
        options = self.options.checkpoints
        return (
            self._stopped is not None
            or self.step == self._rates.total_steps
            or (options.every_steps is not None and self.step % options.every_steps == 0)
            or time.monotonic() - self._saved_at >= options.every_seconds
        )

    def _finish_epoch(self) -> bool:
        """Trains through the rest of an epoch. False where it was asked to stop before the epoch's end."""
        rows, options, events, passes, clock = self.rows, self.options, self.events, self._passes, self._clock
        steps = rows.steps(self.epoch, options.batch_size)
        passes.begin_epoch(self.epoch, self.step - self._batch)
        if self.negatives is not None and self._batch == 0 and self.epoch % self.negatives.refresh_every == 0:
            passes.table = choose_negatives(
                self.negatives, rows.pairs, rows.main, self.core, seed=self.seed, epoch=self.epoch, ranks=self.ranks
            )
        clock.lap(None)
        while True:
            means, count = passes.gradients(self.step)
            self._stepped_rows += count
            self.step += 1
            self._batch += 1
            last = self._batch == steps or self.step == self._rates.total_steps
            # The last batch of an epoch may be a single row, which some losses have nothing to say about.
            self._update(means, count, note_gradients=last or self._batch == 2)
            events.step(self.step)
            if last:
                return True
            if self.step % _LOOK_EVERY == 0:
                self._require_finite_steps()
            if options.checkpoints.every_steps and self.step % options.checkpoints.every_steps == 0:
                self.save()
                clock.lap("checkpoints")
            if self._asked_to_stop():
                return False

    def _asked_to_stop(self) -> bool:
        """Several processes must agree, which costs them a message."""
        self._asked = self._asked or self.should_stop(self.step)
        if self.ranks.size > 1 and self._batch and self.step % _AGREE_EVERY:
            return False
        return self.ranks.any(self._asked)

    def _update(self, means: dict[str, Tensor], count: int, note_gradients: bool) -> None:
        updates = self._updates
        updates.unscale()
        self.ranks.sum_gradients(self._core_parameters)
        if note_gradients:
            self._note_gradients()
        rate = self.options.optimizer.lr * self._rates.factor(self.step - 1) * self._plateau.factor
        for group in updates.optimizer.param_groups:
            group["lr"] = rate
        norm = updates.step()
        if self._average is not None:
            self._average.update_parameters(self.core)
        self._tally.add(norm, means, count)
        self._clock.lap("optimiser")

    def _note_gradients(self) -> None:
        """Once an epoch: which parameters the loss reaches. A core that is not reached trains nothing and looks
        busy.
        """
        for index, parameter in enumerate(self._parameters):
            if parameter.grad is not None:
                self._has_gradient[index] |= parameter.grad.ne(0).any()

    def _require_finite_steps(self) -> None:
        """TrainingError that says which step was not finite, on which rows, and which module that came from."""
        tally = self._tally
        tally.read()
        if self._updates.goes_on or tally.first_bad is None:
            return
        step = self.step - tally.steps + tally.first_bad
        named = [(f"core.{name}" if name else "core", module) for name, module in self.core.named_modules()]
        named += [(f"loss.{name}" if name else "loss", module) for name, module in self.criterion.named_modules()]
        # No update was made since, so that the step can be computed as it was.
        self._updates.optimizer.zero_grad(set_to_none=True)
        origin = find_culprit(named, lambda: self._passes.gradients(step - 1))
        numbers = self._passes.row_numbers(step - 1).tolist()
        rows = ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")
        raise TrainingError(
            f"the gradient of step {step} (epoch {self._passes.epoch + 1}) is not finite. "
            f"First to hold NaN or infinity: {origin}. Training rows (from 0): {rows}. {_REMEDY}; "
            f"train.non_finite: skip leaves such steps out"
        )

    def _close_epoch(self) -> str | None:
        """Logs the epoch, and evaluates where it is time. The reason to stop, or None."""
        self._require_finite_steps()
        tally, self._tally = self._tally, Tally()
        values = tally.means()
        if not values:
            raise TrainingError(f"no step of epoch {self.epoch} (to step {self.step}) had a finite gradient; {_REMEDY}")
        if not math.isfinite(values["loss"]):
            raise TrainingError(f"the loss is {values['loss']} in epoch {self.epoch} (step {self.step}); {_REMEDY}")
        self._require_finite_weights()
        self._require_same_weights()
        values["lr"] = self._updates.optimizer.param_groups[0]["lr"]
        if self._updates.goes_on:
            values["skipped_steps"] = tally.bad
        scale = self._updates.loss_scale()
        if scale is not None:
            values["loss_scale"] = scale
        values.update(self._passes.figures)
        if self.options.profile and isinstance(self.core, EmbeddingProcessor):
            values.update(state_sizes(self.core, self.validation.inputs))
            self._clock.lap("state sizes")
        self._record("train", values)
        if self.step < self._rates.total_steps and self.epoch % self.options.evaluate_every:
            return None
        return self._evaluate()

    def _require_finite_weights(self) -> None:
        """Before anything is scored or saved: weights that are not finite must not take the place of good ones."""
        if not all(parameter.isfinite().all() for parameter in self._parameters):
            raise TrainingError(f"weights are not finite after step {self.step}; {_REMEDY}")

    def _require_same_weights(self) -> None:
        """Of all processes: each finds for itself what to do next."""
        if self.ranks.size > 1:
            weights = torch.cat([parameter.detach().flatten().double() for parameter in self._parameters])
            self.ranks.require_same(weights, f"the weights after step {self.step}")

    def _evaluate(self) -> str | None:
        core, pairs = self._evaluated_core(), self.validation
        output = apply_core(core, pairs.inputs, self.ranks)
        values = score_output(output, self.criterion, pairs, self.options.batch_size, self.seed)
        everything = pairs.whole(epoch=self.epoch, progress=self.step / self._rates.total_steps)
        self.criterion.validated(output, pairs.targets, everything)
        self._clock.lap("evaluation")
        self._record("evaluation", values)
        best = self._progress.best_step
        reason = self._progress.update(
            self._monitor, self.options.early_stopping, values[self.options.monitor], self.step
        )
        improved = self._progress.best_step != best
        self._plateau.update(self.options.schedule, improved)
        if improved and self.ranks.writes:
            path = save_checkpoint(
                self.checkpoints, "best", self.step, core, None, {**self.facts, "validation": values}
            )
            rotate(self.checkpoints, self.options.checkpoints.keep)
            self.events.checkpoint(self.step, path)
        return reason

    def _evaluated_core(self) -> nn.Module:
        """What is scored and used: the average of the weights, where the recipe asks for one."""
        return self.core if self._average is None else self._average.module

    def _record(self, kind: Literal["train", "evaluation"], values: dict[str, float]) -> None:
        record = Record(kind, self.step, self.epoch, values)
        self._history.append(record)
        self.events.record(record)

    def _outcome(self, reason: str, finished: bool) -> Outcome:
        reached = self._has_gradient.tolist()
        return Outcome(
            step=self.step,
            epoch=self.epoch,
            finished=finished,
            reason=reason,
            history=self._history,
            best_step=self._progress.best_step,
            without_gradient=[name for (name, _), yes in zip(self._trained, reached, strict=True) if not yes],
            rows_per_s=self._stepped_rows / self._stepped_seconds if self._stepped_rows else 0.0,
        )

    # Checkpoints

    def save(self) -> None:
        """Writes a step checkpoint, from which a run goes on as if it had not been interrupted."""
        self._require_finite_steps()
        self._require_finite_weights()
        if not self.ranks.writes:
            return
        state = {
            "stopped": self._stopped,
            "step": self.step,
            "epoch": self.epoch,
            "batch": self._batch,
            "updates": self._updates.state_dict(),
            "criterion": self.criterion.state_dict(),
            "progress": attrs.asdict(self._progress),
            "plateau": attrs.asdict(self._plateau),
            "history": [attrs.asdict(record) for record in self._history],
            "tally": self._tally.state_dict(),
            "has_gradient": self._has_gradient,
            "average": None if self._average is None else self._average.state_dict(),
            # The corpus follows from the data.
            "negatives": None
            if self._passes.table is None
            else {"rows": self._passes.table.rows, "holds": self._passes.table.holds},
        }
        facts = {**self.facts, "best_step": self._progress.best_step}
        path = save_checkpoint(self.checkpoints, "step", self.step, self.core, state, facts)
        rotate(self.checkpoints, self.options.checkpoints.keep)
        self._saved_at = time.monotonic()
        self.events.checkpoint(self.step, path)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes on from a step checkpoint. CheckpointError where it is not of this core and recipe."""
        load_core_weights(checkpoint, self.core)
        state = load_state(checkpoint)
        try:
            self._updates.load_state_dict(state["updates"])
            self.criterion.load_state_dict(state["criterion"])
            self._progress = Progress(**state["progress"])
            self._plateau = PlateauState(**state["plateau"])
            self._history = [Record(**record) for record in state["history"]]
            self._tally.load_state_dict(state["tally"])
            self._has_gradient.copy_(state["has_gradient"])
            if self._average is not None:
                self._average.load_state_dict(state["average"])
            if self.negatives is not None and state["negatives"] is not None:
                device = self._has_gradient.device
                corpus, _ = distinct_targets(self.rows.pairs, self.rows.main)
                chosen, holds = (state["negatives"][key].to(device) for key in ("rows", "holds"))
                self._passes.table = NegativeTable(corpus, chosen, holds)
            self.step, self.epoch, self._batch = state["step"], state["epoch"], state["batch"]
            self._stopped = state["stopped"]
            if self._progress.best_step is not None:
                open_checkpoint(self.checkpoints / f"best-{self._progress.best_step:08d}")
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise CheckpointError(f"{checkpoint.path}: its training state does not fit this recipe: {error}") from error
        if self.step != checkpoint.step:
            raise CheckpointError(f"{checkpoint.path}: its training state is of step {self.step}")
        discard_after(self.checkpoints, self.step)
