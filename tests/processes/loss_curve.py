"""Trains in as many processes as it is started in, and prints each step's loss, and the digits of the last weights.

torchrun --nproc-per-node N loss_curve.py FOLDER float64|float32
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from core_engine_kernels import Stencil
from core_engine_losses import InfoNCE
from core_engine_negatives import Hard
from core_engine_reshapes import Projection

from core_engine import EmbeddingProcessor, KernelContext, LossContext, Pairs, ReshapeContext, RunInfo, Train
from core_engine.contracts.contexts import NegativesContext
from core_engine.recipe.modes import Dialogue
from core_engine.training.criterion import Criterion
from core_engine.training.events import Events
from core_engine.training.ranks import launched_ranks
from core_engine.training.rows import training_rows
from core_engine.training.trainer import Trainer

DIM, ROWS, SIZE, CHANNELS = 16, 171, (2, 2, 2), 8


def rows(count: int, seed: int, dtype: torch.dtype) -> Pairs:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, DIM, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(9), dtype=torch.float64))[
        0
    ]
    targets = inputs @ rotation + 0.1 * torch.randn(count, DIM, generator=generator, dtype=torch.float64)
    return Pairs(inputs.to(dtype), targets.to(dtype), group_ids=torch.arange(count) // 3)


def main(folder: Path, dtype: torch.dtype) -> None:
    with launched_ranks() as ranks:
        torch.manual_seed(0)
        reshape = Projection(channels=4, init="principal", rank=2).build(ReshapeContext(DIM, DIM, SIZE, seed=0))
        kernel = Stencil(hidden=16, dropout=0.1, update_probability=0.9, state_noise=0.05).build(
            KernelContext(SIZE, CHANNELS, reshape.channels, seed=0)
        )
        core = EmbeddingProcessor(
            reshape=reshape, kernel=kernel, input_dim=DIM, output_dim=DIM, size=SIZE, channels=CHANNELS, steps=3
        ).to(dtype)
        train = rows(ROWS, 1, dtype)
        core.fit(train.inputs, train.targets)
        criterion = Criterion(
            [("info_nce", 1.0, InfoNCE(learned_temperature=True).build(LossContext(DIM, seed=0)))]
        ).to(dtype)
        losses: list[float] = []
        criterion.register_forward_hook(
            lambda module, given, result: losses.append(float(result[0].detach())) if torch.is_grad_enabled() else None
        )
        trainer = Trainer(
            core=core,
            criterion=criterion,
            rows=training_rows(train, None, Dialogue(), 0),
            validation=rows(41, 2, dtype),
            # The last batch of an epoch is of seven rows, and 4 processes then have shares of 2, 2, 2 and 1.
            options=Train(epochs=None, max_steps=50, batch_size=41, ema=0.9),
            seed=0,
            checkpoints=folder / "checkpoints",
            facts={},
            events=Events(RunInfo(folder, "curve", core, 50)),
            negatives=Hard(count=2, refresh_every=3).build(NegativesContext()),
            ranks=ranks,
        )
        outcome = trainer.run()
        if ranks.writes:
            evaluations = [record.values["mrr@10"] for record in outcome.history if record.kind == "evaluation"]
            weights = [value for parameter in core.parameters() for value in parameter.flatten().tolist()]
            print(json.dumps({"losses": losses, "evaluations": evaluations, "weights": weights}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), getattr(torch, sys.argv[2]))
