"""Kills a run with SIGKILL at random moments of its training, again and again, and lets it end; prints what it saw.

    python kill_often.py FOLDER KILLS

Each try is a process of its own, forked once everything is imported: a start from nothing takes seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import torch
import torch._dynamo  # which the first step imports otherwise, for seconds
from core_engine_kernels import Stencil
from core_engine_losses import InfoNCE
from core_engine_negatives import Hard
from core_engine_reshapes import Projection

from core_engine import EmbeddingProcessor, Engine, KernelContext, LossContext, Pairs, ReshapeContext, Splits, Train
from core_engine.contracts.contexts import NegativesContext
from core_engine.recipe.modes import Mixed
from core_engine.recipe.training import Checkpoints

DIM, SIZE, CHANNELS, STEPS = 16, (2, 2, 2), 8, 300


def rows(count: int, seed: int) -> Pairs:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, DIM, generator=generator)
    return Pairs(inputs, inputs.roll(1, 1) + 0.1, group_ids=torch.arange(count) // 3)


def engine(output: Path) -> Engine:
    torch.manual_seed(0)
    reshape = Projection(channels=4, init="principal", rank=2).build(ReshapeContext(DIM, DIM, SIZE, seed=0))
    kernel = Stencil(hidden=16, dropout=0.1, update_probability=0.9, state_noise=0.05).build(
        KernelContext(SIZE, CHANNELS, reshape.channels, seed=0)
    )
    train = rows(300, 1)
    answers = Pairs(train.targets, train.targets, group_ids=train.group_ids)
    return Engine(
        data=Splits(train=train, validation=rows(60, 2), test=rows(60, 3), extra=answers),
        core=EmbeddingProcessor(
            reshape=reshape, kernel=kernel, input_dim=DIM, output_dim=DIM, size=SIZE, channels=CHANNELS, steps=3
        ),
        loss=InfoNCE(learned_temperature=True).build(LossContext(DIM, seed=0)),
        mode=Mixed(autoencoder_share=0.3, noise=0.1),
        train=Train(
            epochs=None, max_steps=STEPS, batch_size=30, ema=0.9, checkpoints=Checkpoints(every_steps=2, keep=3)
        ),
        negatives=Hard(count=2, refresh_every=3).build(NegativesContext()),
        baselines=[],
        output=output,
    )


def whole_run(output: Path) -> Path:
    torch.set_num_threads(1)
    result = engine(output).run("auto")
    assert result is not None
    return result.run_dir


def killed_run(output: Path, delay: float) -> bool:
    """Starts or resumes the run, and kills it so many seconds after its first step. False where it ended before."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        told = False

        def tell(step: int) -> bool:
            nonlocal told
            if not told:
                os.write(writing, b"x")
                told = True
            return False

        code = 1
        try:
            torch.set_num_threads(1)
            engine(output).run("auto", should_stop=tell)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    try:
        assert os.read(reading, 1) == b"x", "the run did not come to its first step"
    finally:
        os.close(reading)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        return False
    return True


def main(folder: Path, kills: int) -> None:
    moments = random.Random(0)
    killed = 0
    while killed < kills:
        if not killed_run(folder / "killed", moments.uniform(0, 0.08)):
            break
        killed += 1
    print(json.dumps({"kills": killed, "run_dir": str(whole_run(folder / "killed"))}), flush=True)
    print(json.dumps({"run_dir": str(whole_run(folder / "straight"))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
