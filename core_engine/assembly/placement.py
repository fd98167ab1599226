"""A run's data where and as the run needs them."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from core_engine.data.noise import noise_std, rms_norm, with_noise
from core_engine.data.prepare import Splits
from core_engine.memory.tables import blocks
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed


def on_device(data: Splits, mode: Autoencoder | Dialogue | Mixed, seed: int, device: torch.device) -> Splits:
    """The data on the device, with the noise that the mode evaluates under on held-out inputs."""
    train = data.train.to(device)
    held_out = {"validation": data.validation.to(device), "test": data.test.to(device)}
    if isinstance(mode, Autoencoder):
        std = noise_std(train.inputs, mode.evaluation_noise)
        held_out = {part: with_noise(pairs, std, seed, part) for part, pairs in held_out.items()}
    return Splits(
        train=train,
        validation=held_out["validation"],
        test=held_out["test"],
        extra=None if data.extra is None else data.extra.to(device),
        corpus=None if data.corpus is None else data.corpus.to(device),
        report=data.report,
    )


def checkpoint_facts(data: Splits) -> dict[str, Any]:
    """What a checkpoint says of itself besides its weights: dimensions, size of the inputs, a digest of the data."""
    digest = hashlib.sha256()
    for pairs in (data.train, data.extra, data.validation, data.test):
        if pairs is not None:
            optional = (pairs.group_ids, pairs.difficulty, *pairs.further.values())
            for tensor in (pairs.inputs, pairs.targets, pairs.target_ids, *optional):
                if tensor is not None:
                    for rows in blocks(tensor):
                        digest.update(tensor[rows].cpu().contiguous().view(-1).numpy().data)
    return {
        "input_dim": data.train.inputs.shape[1],
        "output_dim": data.train.targets.shape[1],
        "data_digest": digest.hexdigest(),
        "input_rms": rms_norm(data.train.inputs),
    }
