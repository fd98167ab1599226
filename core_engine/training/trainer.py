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
from torch.utils.checkpoint import checkpoint

from core_engine.contracts.objects import Batch, Negatives, Record
from core_engine.core.processor import EmbeddingProcessor
from core_engine.data.pairs import Pairs
from core_engine.errors import CheckpointError, TrainingError
from core_engine.randomness import derive_seed, generator
from core_engine.recipe.training import Train
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
from core_engine.training.criterion import Criterion
from core_engine.training.events import Events
from core_engine.training.inference import apply_core
from core_engine.training.negatives import NegativeTable, choose_negatives
from core_engine.training.optim import PlateauState, RateSchedule, build_optimizer
from core_engine.training.plan import monitor_of, total_steps, trained_parameters
from core_engine.training.rows import TrainingRows
from core_engine.training.stopping import Monitor, Progress
from core_engine.training.validation import score_output

log = structlog.get_logger("core_engine.training")

#: Rows of a backward pass: indices, target ids, group ids and, where there is one, difficulty.
Part = tuple[Tensor, ...]

_REMEDY = "lower train.optimizer.lr or set train.clip_norm; checkpoints written so far are of finite weights"


@frozen
class Outcome:
    """How training ended. ``finished`` is False where it was asked to stop before its end."""

    step: int
    epoch: int
    finished: bool
    reason: str
    history: list[Record]
    best_step: int | None
    without_gradient: list[str]


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

    step: int = field(default=0, init=False)
    epoch: int = field(default=0, init=False)
    _batch: int = field(default=0, init=False)
    _progress: Progress = field(factory=Progress, init=False)
    _plateau: PlateauState = field(factory=PlateauState, init=False)
    _history: list[Record] = field(factory=list, init=False)
    _sums: dict[str, Tensor] = field(factory=dict, init=False)
    _summed_rows: int = field(default=0, init=False)
    _epoch_figures: dict[str, float] = field(factory=dict, init=False)
    _table: NegativeTable | None = field(default=None, init=False)
    _stopped: str | None = field(default=None, init=False)
    _saved_at: float = field(factory=time.monotonic, init=False)
    _monitor: Monitor = field(init=False)
    _trained: list[tuple[str, nn.Parameter]] = field(init=False)
    _parameters: list[nn.Parameter] = field(init=False)
    _optimizer: torch.optim.Optimizer = field(init=False)
    _rates: RateSchedule = field(init=False)
    _average: AveragedModel | None = field(default=None, init=False)
    _has_gradient: Tensor = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._monitor = monitor_of(self.options, self.validation)
        self._trained = trained_parameters(self.core, self.criterion)
        self._parameters = [parameter for _, parameter in self._trained]
        self._optimizer = build_optimizer(self.options.optimizer, self._trained)
        self._rates = RateSchedule(self.options.schedule, total_steps(self.options, self.rows))
        if self.options.ema is not None:
            self._average = average_of(self.core, self.options.ema)
        device = self.rows.pairs.inputs.device
        self._has_gradient = torch.zeros(len(self._trained), dtype=torch.bool, device=device)

    def run(self) -> Outcome:
        """Trains to the end, or until a rule or ``should_stop`` says so; then it can be called again to go on, or
        saved.

        TrainingError where the loss is not finite.
        """
        while self._stopped is None and self.step < self._rates.total_steps:
            if not self._finish_epoch():
                return self._outcome("asked to stop", finished=False)
            self.epoch += 1
            self._batch = 0
            self._stopped = self._close_epoch()
            if self._save_is_due():
                self.save()
            if self._stopped is None and self.step < self._rates.total_steps and self.should_stop(self.step):
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
        rows, options, events = self.rows, self.options, self.events
        size = rows.size(self.epoch)
        parts = self._parts_of_epoch()
        if self.negatives is not None and self._batch == 0 and self.epoch % self.negatives.refresh_every == 0:
            self._table = choose_negatives(
                self.negatives, rows.pairs, rows.main, self.core, seed=self.seed, epoch=self.epoch
            )
        forward = self._forward()
        while True:
            first, begin = self._batch * options.accumulate, self._batch * options.batch_size
            end = min(begin + options.batch_size, size)
            self._accumulate_gradients(forward, parts[first : first + options.accumulate], end - begin)
            self.step += 1
            self._batch += 1
            last = end == size or self.step == self._rates.total_steps
            # The last batch of an epoch may be a single row, which some losses have nothing to say about.
            self._update(note_gradients=last or self._batch == 2)
            events.step(self.step)
            if last:
                return True
            if options.checkpoints.every_steps and self.step % options.checkpoints.every_steps == 0:
                self.save()
            if self.should_stop(self.step):
                return False

    def _parts_of_epoch(self) -> list[Part]:
        """Divided once an epoch: a step then only takes views that are there."""
        rows, options, pairs = self.rows, self.options, self.rows.pairs
        total = self._rates.total_steps
        first = self.step - self._batch
        last = first + rows.steps(self.epoch, options.batch_size)
        order = rows.order(self.epoch, first / total, min(1.0, last / total), options.batch_size)
        self._epoch_figures = rows.figures(order)
        order = order.to(pairs.inputs.device)
        columns = [order, pairs.target_ids[order], order if pairs.group_ids is None else pairs.group_ids[order]]
        if pairs.difficulty is not None:
            columns.append(pairs.difficulty[order])
        part_size = options.batch_size // options.accumulate
        return list(zip(*(column.split(part_size) for column in columns), strict=True))

    def _forward(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The core as a function of inputs and row numbers; these key the noise of its cells."""
        core = self.core.train()
        if isinstance(core, EmbeddingProcessor):
            seed = derive_seed(self.seed, "state", self.epoch)
            return lambda inputs, indices: core(inputs, seed, indices)
        return lambda inputs, indices: core(inputs)

    def _accumulate_gradients(self, forward: Callable[[Tensor, Tensor], Tensor], parts: list[Part], count: int) -> None:
        """Gradients of one step's ``count`` rows, in parts weighted by their rows.

        With ``grad_cache`` (Gao et al., 2021) the loss is of all rows at once: only the outputs of a part are kept, and
        in the backward pass the core computes each part again.
        """
        source = None
        if self.rows.noise is not None:
            source = generator(self.seed, "noise", self.epoch, self._batch, device=self.rows.pairs.inputs.device)
        if self.options.grad_cache:
            inputs = [self._inputs(indices, source) for indices, *_ in parts]
            outputs = [
                checkpoint(forward, given, indices, use_reentrant=False)
                for given, (indices, *_) in zip(inputs, parts, strict=True)
            ]
            whole = tuple(torch.cat(columns) for columns in zip(*parts, strict=True))
            self._backward(torch.cat(outputs), torch.cat(inputs), whole, count)
        else:
            for part in parts:
                given = self._inputs(part[0], source)
                self._backward(forward(given, part[0]), given, part, count)
        self._summed_rows += count

    def _inputs(self, indices: Tensor, source: torch.Generator | None) -> Tensor:
        """``[B, D_in]``, with the mode's noise from ``source``."""
        inputs = self.rows.pairs.inputs.index_select(0, indices)
        if self.rows.noise is None:
            return inputs
        drawn = torch.randn(inputs.shape, generator=source, device=inputs.device, dtype=inputs.dtype)
        return torch.addcmul(inputs, drawn, self.rows.noise.index_select(0, indices))

    def _backward(self, output: Tensor, inputs: Tensor, part: Part, count: int) -> None:
        """Adds the gradient of these rows to that of the step's ``count`` rows."""
        pairs = self.rows.pairs
        indices, target_ids, group_ids, *difficulty = part
        negatives = (None, None) if self._table is None else self._table.of(indices)
        batch = Batch(
            indices,
            inputs,
            target_ids,
            group_ids,
            self.epoch,
            self.step / self._rates.total_steps,
            difficulty[0] if difficulty else None,
            negatives[0],
            negatives[1],
            {name: rows.index_select(0, indices) for name, rows in pairs.further.items()},
        )
        loss, named = self.criterion(output, pairs.targets.index_select(0, indices), batch)
        rows = len(indices)
        (loss if rows == count else loss * (rows / count)).backward()
        self._add("loss", loss.detach(), rows)
        for name, value in named.items():
            self._add(name, value, rows)

    def _update(self, note_gradients: bool) -> None:
        parameters = self._parameters
        if note_gradients:
            self._note_gradients()
        if self.options.clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, self.options.clip_norm)
        rate = self.options.optimizer.lr * self._rates.factor(self.step - 1) * self._plateau.factor
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if self._average is not None:
            self._average.update_parameters(self.core)

    def _note_gradients(self) -> None:
        """Once an epoch: which parameters the loss reaches. A core that is not reached trains nothing and looks
        busy.
        """
        for index, parameter in enumerate(self._parameters):
            if parameter.grad is not None:
                self._has_gradient[index] |= parameter.grad.ne(0).any()

    def _add(self, name: str, value: Tensor, rows: int) -> None:
        if name in self._sums:
            self._sums[name].add_(value, alpha=rows)
        else:
            self._sums[name] = value * rows

    def _close_epoch(self) -> str | None:
        """Logs the epoch, and evaluates where it is time. The reason to stop, or None."""
        values = {name: float(total) / self._summed_rows for name, total in self._sums.items()}
        self._sums, self._summed_rows = {}, 0
        if not math.isfinite(values["loss"]):
            raise TrainingError(f"the loss is {values['loss']} in epoch {self.epoch} (step {self.step}); {_REMEDY}")
        self._require_finite_weights()
        values["lr"] = self._optimizer.param_groups[0]["lr"]
        values.update(self._epoch_figures)
        self._record("train", values)
        if self.step < self._rates.total_steps and self.epoch % self.options.evaluate_every:
            return None
        return self._evaluate()

    def _require_finite_weights(self) -> None:
        """Before anything is scored or saved: weights that are not finite must not take the place of good ones."""
        if not all(parameter.isfinite().all() for parameter in self._parameters):
            raise TrainingError(f"weights are not finite after step {self.step}; {_REMEDY}")

    def _evaluate(self) -> str | None:
        core, pairs = self._evaluated_core(), self.validation
        output = apply_core(core, pairs.inputs)
        values = score_output(output, self.criterion, pairs, self.options.batch_size, self.seed)
        everything = pairs.batch(
            torch.arange(len(pairs), device=output.device),
            epoch=self.epoch,
            progress=self.step / self._rates.total_steps,
        )
        self.criterion.validated(output, pairs.targets, everything)
        self._record("evaluation", values)
        best = self._progress.best_step
        reason = self._progress.update(
            self._monitor, self.options.early_stopping, values[self.options.monitor], self.step
        )
        improved = self._progress.best_step != best
        self._plateau.update(self.options.schedule, improved)
        if improved:
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
        )

    # Checkpoints

    def save(self) -> None:
        """Writes a step checkpoint, from which a run goes on as if it had not been interrupted."""
        self._require_finite_weights()
        state = {
            "stopped": self._stopped,
            "step": self.step,
            "epoch": self.epoch,
            "batch": self._batch,
            "optimizer": self._optimizer.state_dict(),
            "criterion": self.criterion.state_dict(),
            "progress": attrs.asdict(self._progress),
            "plateau": attrs.asdict(self._plateau),
            "history": [attrs.asdict(record) for record in self._history],
            "sums": self._sums,
            "summed_rows": self._summed_rows,
            "has_gradient": self._has_gradient,
            "average": None if self._average is None else self._average.state_dict(),
            "negatives": None if self._table is None else attrs.asdict(self._table),
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
            self._optimizer.load_state_dict(state["optimizer"])
            self.criterion.load_state_dict(state["criterion"])
            self._progress = Progress(**state["progress"])
            self._plateau = PlateauState(**state["plateau"])
            self._history = [Record(**record) for record in state["history"]]
            self._sums = {name: total.to(self._has_gradient.device) for name, total in state["sums"].items()}
            self._summed_rows = state["summed_rows"]
            self._has_gradient.copy_(state["has_gradient"])
            if self._average is not None:
                self._average.load_state_dict(state["average"])
            if self.negatives is not None and state["negatives"] is not None:
                device = self._has_gradient.device
                self._table = NegativeTable(**{key: value.to(device) for key, value in state["negatives"].items()})
            self.step, self.epoch, self._batch = state["step"], state["epoch"], state["batch"]
            self._stopped = state["stopped"]
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise CheckpointError(f"{checkpoint.path}: its training state does not fit this recipe: {error}") from error
        if self.step != checkpoint.step:
            raise CheckpointError(f"{checkpoint.path}: its training state is of step {self.step}")
        if self._progress.best_step is not None:
            open_checkpoint(self.checkpoints / f"best-{self._progress.best_step:08d}")
        discard_after(self.checkpoints, self.step)
