"""Starts a run from the core of another one, of the same lattice or of a smaller one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from torch import Tensor, nn

from core_engine.core.processor import EmbeddingProcessor
from core_engine.errors import CheckpointError
from core_engine.training.checkpoint import Checkpoint, load_weights, newest_checkpoint, read_weights

log = structlog.get_logger("core_engine.training")

Size = tuple[int, int, int]


def start_from(run: Path, core: nn.Module) -> None:
    """Copies the best core of ``run`` into ``core``: its weights, and how it normalises embeddings.

    Where its lattice is smaller, the old cells become those with the lowest coordinates, and the parts of the core
    carry over what belongs to each cell (see :class:`core_engine.Reshape`); no value enters or leaves by the new cells
    until that is learned. CheckpointError where the run has no core, or none that fits.
    """
    if not run.is_dir():
        raise CheckpointError(f"train.init_from: {run}: no such run folder")
    checkpoint = newest_checkpoint(run, "best")
    weights = read_weights(checkpoint)
    size = _size_of(checkpoint)
    if isinstance(core, EmbeddingProcessor) and size is not None and size != core.size:
        weights = _grown(checkpoint, weights, core, size)
    load_weights(checkpoint, weights, core)
    log.info("started from another run", run=str(run), step=checkpoint.step, size=size)


def _size_of(checkpoint: Checkpoint) -> Size | None:
    size: Any = checkpoint.facts.get("size")
    if size is None:
        return None
    try:
        x, y, z = map(int, size)
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{checkpoint.path}: its manifest is damaged: size {size!r}") from error
    return x, y, z


def _grown(
    checkpoint: Checkpoint, weights: Mapping[str, Tensor], core: EmbeddingProcessor, size: Size
) -> dict[str, Tensor]:
    result = dict(weights)
    for name in ("reshape", "kernel"):
        part = getattr(core, name)
        own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
        if not hasattr(part, "grown"):
            if name == "kernel":
                continue  # all of it is shared by all cells, or loading it says what does not fit
            raise CheckpointError(
                f"train.init_from: {checkpoint.path} has a lattice of {list(size)} cells, and the reshape "
                f"{type(part).__name__} cannot be carried over to another: give lattice.size {list(size)}"
            )
        try:
            grown: Mapping[str, Tensor] = part.grown(own, size)
        except (ValueError, KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"train.init_from: {checkpoint.path}: its {name} does not fit this recipe's: {error}"
            ) from error
        result.update({f"{name}.{key}": value for key, value in grown.items()})
    return result
