"""A short run on made-up rows with everything in it that draws random numbers or has a state."""

from __future__ import annotations

from pathlib import Path

import torch
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


def small_engine(output: Path, every_steps: int = 2, keep: int = 3) -> Engine:
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
            epochs=None,
            max_steps=STEPS,
            batch_size=30,
            ema=0.9,
            checkpoints=Checkpoints(every_steps=every_steps, keep=keep),
        ),
        negatives=Hard(count=2, refresh_every=3).build(NegativesContext()),
        baselines=[],
        output=output,
    )
