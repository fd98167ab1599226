"""Using a trained core: needs the run folder alone, no training data and no edits."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from core_engine.assembly.build import build_core, build_teacher, resolve_device, stored_embedding
from core_engine.core.processor import EmbeddingProcessor
from core_engine.errors import CheckpointError, DataError
from core_engine.host.host import PluginHost
from core_engine.recipe.load import load_recipe
from core_engine.recipe.schema import Recipe
from core_engine.run.folder import LOCK_FILE
from core_engine.training.checkpoint import load_core_weights, newest_checkpoint
from core_engine.training.inference import apply_core

Rows = TypeVar("Rows", Tensor, "NDArray[np.floating]")


@frozen(eq=False)
class TrainedCore:
    """A run's best core. Call it with embeddings; ``encode`` starts from texts."""

    core: EmbeddingProcessor
    recipe: Recipe
    device: torch.device

    @property
    def input_dim(self) -> int:
        return self.core.input_dim

    def __call__(self, embeddings: Rows) -> Rows:
        """``[n, D_in] -> [n, D_out]``, float32, in the teacher's own space; tensors give tensors, arrays give arrays.

        Gives what evaluation scored. DataError for another dimension, and for NaN or infinity.
        """
        given = torch.as_tensor(embeddings)
        if given.ndim != 2 or given.shape[1] != self.input_dim:
            raise DataError(f"embeddings are {list(given.shape)}; this core takes [n, {self.input_dim}]")
        if not given.is_floating_point():
            raise DataError(f"embeddings are {given.dtype}; this core takes floating-point numbers")
        finite = given.isfinite().all(dim=1)
        if not finite.all():
            raise DataError(f"embedding {int((~finite).nonzero()[0])} holds NaN or infinity")
        output = apply_core(self.core, given.to(self.device, torch.float32)).to(given.device)
        return output.numpy() if isinstance(embeddings, np.ndarray) else output

    def encode(self, texts: list[str]) -> Tensor:
        """Texts through the run's teacher and the core: ``[len(texts), D_out]`` on the CPU."""
        embed = stored_embedding(build_teacher(self.recipe, self.device))
        if embed is None:
            raise DataError("this run was trained on ready embeddings and has no teacher; give embeddings")
        return self(embed(texts))


def load_core(run: Path | str, device: str = "auto", host: PluginHost | None = None) -> TrainedCore:
    """The best core of a run that was made from a recipe. CheckpointError where the run has none, or it is damaged."""
    run_dir = Path(run)
    if not (run_dir / LOCK_FILE).is_file():
        raise CheckpointError(f"{run_dir}: no run folder made from a recipe: there is no {LOCK_FILE} in it")
    # What the recipe read need not be there any more.
    recipe = load_recipe(run_dir / LOCK_FILE, (), host, check=False).recipe
    checkpoint = newest_checkpoint(run_dir, "best")
    core = build_core(recipe, int(checkpoint.facts["input_dim"]), int(checkpoint.facts["output_dim"]))
    load_core_weights(checkpoint, core)
    target = resolve_device(device)
    return TrainedCore(core.to(target).eval().requires_grad_(False), recipe, target)
