"""What the training loop costs over a loop written by hand: same module, tensors, schedule, clipping and optimiser.

Both train in turns, in short stretches, so that a machine whose speed drifts slows both alike; the figure is the median
of the ratios of neighbouring stretches. ``ratio``: an MLP 64-64-64, batch 32. ``ratio_core``: the default core.

    python benchmarks/overhead.py [--json] [--rounds 40] [--steps 200]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from core_engine_kernels import Stencil
from core_engine_reshapes import Projection
from torch import Tensor, nn

from core_engine import EmbeddingProcessor, KernelContext, Pairs, ReshapeContext, RunInfo, Train
from core_engine.randomness import derive_seed
from core_engine.recipe.modes import Dialogue
from core_engine.recipe.training import Cosine
from core_engine.training.criterion import Criterion
from core_engine.training.events import Events
from core_engine.training.rows import training_rows
from core_engine.training.trainer import Trainer

ROWS, BATCH = 8192, 32


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64))


def default_core(dim: int) -> EmbeddingProcessor:
    """The core of configs/quickstart.yaml."""
    size, channels, steps = (4, 2, 2), 32, 4
    reshape = Projection(channels=24, init="principal", rank=2).build(ReshapeContext(dim, dim, size, seed=0))
    kernel = Stencil(hidden=128).build(KernelContext(size, channels, reshape.channels, seed=0))
    return EmbeddingProcessor(
        reshape=reshape, kernel=kernel, input_dim=dim, output_dim=dim, size=size, channels=channels, steps=steps
    )


def mse(output: Tensor, target: Tensor, batch: object) -> Tensor:
    return nn.functional.mse_loss(output, target)


def by_hand(model: nn.Module, data: Pairs, total: int) -> Callable[[int], None]:
    """The loop that a careful user would write. Returns a function that does so many steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    parameters = list(model.parameters())
    generator = torch.Generator().manual_seed(0)
    state_seed = derive_seed(0, "state", 0)
    takes_ids = isinstance(model, EmbeddingProcessor)
    done = 0
    warmup = math.ceil(0.05 * total)
    order = torch.randperm(len(data), generator=generator)

    def steps(count: int) -> None:
        nonlocal done, order
        for _ in range(count):
            begin = done * BATCH % len(data)
            if begin == 0:
                order = torch.randperm(len(data), generator=generator)
            rows = order[begin : begin + BATCH]
            inputs, targets = data.inputs.index_select(0, rows), data.targets.index_select(0, rows)
            output = model(inputs, state_seed, rows) if takes_ids else model(inputs)
            loss = nn.functional.mse_loss(output, targets)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            progress = (done - warmup) / max(1, total - warmup)
            factor = (done + 1) / warmup if done < warmup else 0.5 * (1 + math.cos(math.pi * progress))
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            done += 1

    return steps


def by_engine(model: nn.Module, data: Pairs, total: int, folder: Path) -> Callable[[int], None]:
    """The engine's own loop, stopped after so many steps and gone on with; no evaluation, no checkpoint."""
    limit = 0
    trainer = Trainer(
        core=model,
        criterion=Criterion([("mse", 1.0, mse)]),
        rows=training_rows(data, None, Dialogue(), seed=0, shuffle_targets=False),
        validation=Pairs(data.inputs[:64], data.targets[:64]),
        options=Train(max_steps=total, batch_size=BATCH, schedule=Cosine(warmup=0.05), evaluate_every=10**9),
        seed=0,
        checkpoints=folder / "checkpoints",
        facts={},
        events=Events(RunInfo(folder, "overhead", model, total)),
        should_stop=lambda step: step >= limit,
    )

    def steps(count: int) -> None:
        nonlocal limit
        limit = trainer.step + count
        trainer.run()

    return steps


def ratio(make: Callable[[], nn.Module], dim: int, rounds: int, steps: int) -> dict[str, float]:
    torch.manual_seed(0)
    data = Pairs(torch.randn(ROWS, dim), torch.randn(ROWS, dim))
    total = (rounds + 2) * steps
    with tempfile.TemporaryDirectory() as folder:
        hand = by_hand(make(), data, total)
        engine = by_engine(make(), data, total, Path(folder))
        hand(steps), engine(steps)  # warm-up
        ratios, seconds = [], []
        for round_number in range(rounds):
            times = {}
            for loop in (hand, engine) if round_number % 2 else (engine, hand):
                start = time.perf_counter()
                loop(steps)
                times[loop] = time.perf_counter() - start
            ratios.append(times[engine] / times[hand])
            seconds.append(times[hand] / steps)
    quartiles = statistics.quantiles(ratios, n=4)
    return {
        "ratio": statistics.median(ratios),
        "low": quartiles[0],
        "high": quartiles[2],
        "by_hand_us_per_step": 1e6 * statistics.median(seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=200, help="optimiser steps in a stretch")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    small = ratio(mlp, 64, arguments.rounds, arguments.steps)
    core = ratio(lambda: default_core(384), 384, arguments.rounds, max(1, arguments.steps // 8))
    if arguments.json:
        print(json.dumps({"ratio": small["ratio"], "ratio_core": core["ratio"], "mlp": small, "core": core}))
        return
    print(f"{'model':<24}{'by hand, us/step':>18}{'engine / by hand':>18}{'quartiles':>16}")
    for name, row in (("MLP 64-64-64, batch 32", small), ("default core, batch 32", core)):
        spread = f"{row['low']:.3f}-{row['high']:.3f}"
        print(f"{name:<24}{row['by_hand_us_per_step']:>18.0f}{row['ratio']:>18.3f}{spread:>16}")


if __name__ == "__main__":
    main()
