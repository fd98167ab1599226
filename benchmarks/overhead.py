"""What the training loop costs over a loop written by hand, beside Lightning Fabric, Accelerate and HF Trainer.

All train the same module with the same tensors, schedule, clipping and optimiser, in turns and in short stretches, so
that a machine whose speed drifts slows all alike; the figure is the median of the ratios of neighbouring stretches.
``ratio``: an MLP 64-64-64, batch 32. ``ratio_core``: the default core. Needs ``make bench-install``.

    python benchmarks/overhead.py [--json] [--rounds 40] [--steps 200]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from core_engine_kernels import Stencil
from core_engine_loggers.config import Console, Csv, Jsonl
from core_engine_reshapes import Projection
from overhead_peers import (
    CLIP,
    DECAY,
    RATE,
    WARMUP,
    Loop,
    by_accelerate,
    by_fabric,
    by_hand,
    by_trainer,
    timed,
)
from torch import Tensor, nn

from core_engine import EmbeddingProcessor, KernelContext, Pairs, ReshapeContext, RunInfo, Train, use_backend
from core_engine.contracts.contexts import LoggerContext
from core_engine.host.host import PluginHost
from core_engine.log import configure_logging
from core_engine.recipe.modes import Dialogue
from core_engine.recipe.training import AdamW, Cosine
from core_engine.training.criterion import Criterion
from core_engine.training.events import Events
from core_engine.training.rows import training_rows
from core_engine.training.trainer import Trainer

ROWS, BATCH = 8192, 32


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64))


def default_core() -> EmbeddingProcessor:
    """The core of configs/quickstart.yaml, computed by the backend that a run chooses."""
    dim, size, channels, steps = 384, (4, 2, 2), 32, 4
    reshape = Projection(channels=24, init="principal", rank=2).build(ReshapeContext(dim, dim, size, seed=0))
    kernel = Stencil(hidden=128).build(KernelContext(size, channels, reshape.channels, seed=0))
    core = EmbeddingProcessor(
        reshape=reshape, kernel=kernel, input_dim=dim, output_dim=dim, size=size, channels=channels, steps=steps
    )
    use_backend(core, batch=BATCH)
    return core


def mse(output: Tensor, target: Tensor, batch: object) -> Tensor:
    return nn.functional.mse_loss(output, target)


def by_engine(model: nn.Module, data: Pairs, batch: int, total: int, folder: Path) -> Loop:
    """The engine's own loop, stopped after so many steps and gone on with: loggers, progress and hooks on.

    Without evaluations, which the other loops do not make either.
    """
    limit = 0
    run, context = RunInfo(folder, "overhead", model, total), LoggerContext(folder, "overhead", total, None)
    trainer = Trainer(
        core=model,
        criterion=Criterion([("mse", 1.0, mse)]),
        rows=training_rows(data, None, Dialogue(), seed=0),
        validation=Pairs(data.inputs[:64], data.targets[:64]),
        options=Train(
            max_steps=total,
            batch_size=batch,
            optimizer=AdamW(lr=RATE, weight_decay=DECAY),
            schedule=Cosine(warmup=WARMUP),
            clip_norm=CLIP,
            evaluate_every=10**9,
        ),
        seed=0,
        checkpoints=folder / "checkpoints",
        facts={},
        events=Events(
            run, [component().build(context) for component in (Console, Jsonl, Csv)], PluginHost.discover().manager
        ),
        should_stop=lambda step: step >= limit,
    )

    def steps(count: int) -> None:
        nonlocal limit
        limit = trainer.step + count
        trainer.run()

    return timed(steps)


def compare(make: Callable[[], nn.Module], dim: int, rounds: int, steps: int) -> dict[str, dict[str, float]]:
    """Loop -> microseconds a step, and its ratio to the loop by hand: median and quartiles."""
    torch.manual_seed(0)
    data = Pairs(torch.randn(ROWS, dim), torch.randn(ROWS, dim))
    total = (rounds + 2) * (steps + 5)
    with tempfile.TemporaryDirectory() as folder:
        loops = {
            "by hand": by_hand(make(), data, BATCH, total),
            "engine": by_engine(make(), data, BATCH, total, Path(folder)),
            "Lightning Fabric": by_fabric(make(), data, BATCH, total),
            "Accelerate": by_accelerate(make(), data, BATCH, total),
            "HF Trainer": by_trainer(make(), data, BATCH, total, folder),
        }
        for loop in loops.values():
            loop(steps)  # warm-up
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for number in range(rounds):
            order = list(loops)
            shift = number % len(order)
            for name in order[shift:] + order[:shift]:
                seconds[name].append(loops[name](steps) / steps)
    found = {}
    for name, taken in seconds.items():
        ratios = [one / other for one, other in zip(taken, seconds["by hand"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        found[name] = {"us_per_step": 1e6 * statistics.median(taken), "ratio": middle, "low": low, "high": high}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=200, help="optimiser steps in a stretch")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    configure_logging(-1)
    torch.set_num_threads(arguments.threads)
    small = compare(mlp, 64, arguments.rounds, arguments.steps)
    core = compare(default_core, 384, arguments.rounds, max(1, arguments.steps // 8))
    if arguments.json:
        figures = {"ratio": small["engine"]["ratio"], "ratio_core": core["engine"]["ratio"], "mlp": small, "core": core}
        print(json.dumps(figures))
        return
    for title, rows in (("MLP 64-64-64, batch 32", small), ("default core, batch 32", core)):
        print(f"{title:<24}{'us/step':>10}{'/ by hand':>12}{'quartiles':>16}")
        for name, row in rows.items():
            spread = f"{row['low']:.3f}-{row['high']:.3f}"
            print(f"  {name:<22}{row['us_per_step']:>10.0f}{row['ratio']:>12.3f}{spread:>16}")


if __name__ == "__main__":
    main()
