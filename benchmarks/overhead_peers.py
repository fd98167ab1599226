"""The loops that benchmarks/overhead.py sets beside the engine's: by hand, and with other libraries' training loops.

Each is written for speed: batches are slices of tensors, gathered once, and the optimiser is fused, as the engine's is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from lightning_fabric import Fabric
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from core_engine import EmbeddingProcessor, Pairs
from core_engine.randomness import derive_seed

RATE, DECAY, CLIP, WARMUP = 1e-3, 0.01, 1.0, 0.05
STATE_SEED = derive_seed(0, "state", 0)

#: Does so many optimiser steps, and returns the seconds they took.
Loop = Callable[[int], float]


def timed(steps: Callable[[int], None]) -> Loop:
    def loop(count: int) -> float:
        start = time.perf_counter()
        steps(count)
        return time.perf_counter() - start

    return loop


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, fused=True)


def factor(done: int, total: int) -> float:
    """Linear warm-up, then half a cosine."""
    warmup = math.ceil(WARMUP * total)
    if done < warmup:
        return (done + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1, total - warmup)))


class Batches:
    """Slices of a permutation, a new one for each epoch."""

    def __init__(self, data: Pairs, size: int) -> None:
        self._data, self._size, self._begin = data, size, len(data)
        self._generator = torch.Generator().manual_seed(0)

    def __call__(self) -> tuple[Tensor, Tensor, Tensor]:
        if self._begin >= len(self._data):
            self._begin, self._order = 0, torch.randperm(len(self._data), generator=self._generator)
        rows = self._order[self._begin : self._begin + self._size]
        self._begin += self._size
        return self._data.inputs.index_select(0, rows), self._data.targets.index_select(0, rows), rows


def loss_of(model: nn.Module, is_core: bool, inputs: Tensor, targets: Tensor, rows: Tensor) -> Tensor:
    output = model(inputs, STATE_SEED, rows) if is_core else model(inputs)
    return nn.functional.mse_loss(output, targets)


def by_hand(model: nn.Module, data: Pairs, batch: int, total: int) -> Loop:
    """The loop that a careful user would write."""
    return _loop(
        model,
        data,
        batch,
        total,
        is_core=isinstance(model, EmbeddingProcessor),
        optimizer=optimizer_of(model),
        backward=Tensor.backward,
        clip=lambda parameters: nn.utils.clip_grad_norm_(parameters, CLIP),
    )


def by_fabric(model: nn.Module, data: Pairs, batch: int, total: int) -> Loop:
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    wrapped, optimizer = fabric.setup(model, optimizer_of(model))
    return _loop(
        wrapped,
        data,
        batch,
        total,
        is_core=isinstance(model, EmbeddingProcessor),
        optimizer=optimizer,
        backward=fabric.backward,
        clip=lambda _: fabric.clip_gradients(wrapped, optimizer, max_norm=CLIP),
    )


def by_accelerate(model: nn.Module, data: Pairs, batch: int, total: int) -> Loop:
    accelerator = Accelerator(cpu=True)
    wrapped, optimizer = accelerator.prepare(model, optimizer_of(model))
    return _loop(
        wrapped,
        data,
        batch,
        total,
        is_core=isinstance(model, EmbeddingProcessor),
        optimizer=optimizer,
        backward=accelerator.backward,
        clip=lambda parameters: accelerator.clip_grad_norm_(parameters, CLIP),
    )


def _loop(
    model: nn.Module,
    data: Pairs,
    batch: int,
    total: int,
    *,
    is_core: bool,
    optimizer: Any,
    backward: Callable[[Tensor], object],
    clip: Callable[[list[nn.Parameter]], object],
) -> Loop:
    batches, parameters = Batches(data, batch), list(model.parameters())
    done = 0

    def steps(count: int) -> None:
        nonlocal done
        for _ in range(count):
            loss = loss_of(model, is_core, *batches())
            backward(loss)
            clip(parameters)
            rate = RATE * factor(done, total)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            done += 1

    return timed(steps)


class _Rows(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Gathered by the batch: row by row, PyTorch's loader would be most of the time."""

    def __init__(self, data: Pairs) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitems__(self, numbers: list[int]) -> dict[str, Tensor]:
        rows = torch.tensor(numbers)
        return {"inputs": self._data.inputs[rows], "targets": self._data.targets[rows], "rows": rows}


class _Stretch(TrainerCallback):  # type: ignore[misc]
    """Notes the time between the first steps, which set things up, and the last."""

    SKIPPED = 3

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.SKIPPED:
            self.begin = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.end = time.perf_counter()


class _Trainer(Trainer):  # type: ignore[misc]
    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], **_: Any) -> Tensor:
        return loss_of(model, isinstance(model, EmbeddingProcessor), **inputs)


def by_trainer(model: nn.Module, data: Pairs, batch: int, total: int, folder: str) -> Loop:
    optimizer = optimizer_of(model)
    done = 0

    def loop(count: int) -> float:
        nonlocal done
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch,
            max_steps=count + _Stretch.SKIPPED,
            max_grad_norm=CLIP,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        )
        before, stretch = done, _Stretch()
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(before + step, total))
        trainer = _Trainer(
            model=model,
            args=arguments,
            train_dataset=_Rows(data),
            data_collator=lambda rows: rows,
            optimizers=(optimizer, schedule),
            callbacks=[stretch],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        done += arguments.max_steps
        return stretch.end - stretch.begin

    return loop
