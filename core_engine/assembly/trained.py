"""Using a trained core: needs the run folder alone, no training data and no edits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor, nn

from core_engine.assembly.backend import use_backend
from core_engine.assembly.build import build_core, build_embedder, resolve_device
from core_engine.contracts.backend import AUTO
from core_engine.errors import CheckpointError, DataError, EngineError
from core_engine.host.host import PluginHost
from core_engine.log import ensure_logging
from core_engine.recipe.load import load_recipe
from core_engine.recipe.schema import Recipe
from core_engine.run.folder import LOCK_FILE, require_run_dir
from core_engine.teaching.embedder import Embedder
from core_engine.training.checkpoint import load_core_weights, newest_checkpoint
from core_engine.training.inference import ROWS, apply_core

Rows = TypeVar("Rows", Tensor, "NDArray[np.floating]")


@frozen(eq=False)
class TrainedCore:
    """A run's best core. Call it with embeddings; ``encode`` starts from texts.

    ``input_dim``: dimension of the embeddings it takes. ``input_rms``: root mean square of the training inputs' norms.
    ``recipe``: None for a run that was put together in Python.
    """

    core: nn.Module
    input_dim: int
    input_rms: float
    device: torch.device
    recipe: Recipe | None = None

    def __call__(self, embeddings: Rows) -> Rows:
        """``[n, D_in] -> [n, D_out]``, float32, in the teacher's own space; tensors give tensors, arrays give arrays.

        Gives what evaluation scored. Where cells are noisy, row i draws the noise of sample i, so a row's output
        depends on its place. DataError for no rows, another dimension, and NaN or infinity.
        """
        given = torch.as_tensor(embeddings)
        if given.ndim != 2 or given.shape[1] != self.input_dim or not len(given):
            raise DataError(f"embeddings are {list(given.shape)}; this core takes [n, {self.input_dim}], n at least 1")
        if not given.is_floating_point():
            raise DataError(f"embeddings are {given.dtype}; this core takes floating-point numbers")
        finite = given.isfinite().all(dim=1)
        if not finite.all():
            raise DataError(f"embedding {int((~finite).nonzero()[0])} holds NaN or infinity")
        output = apply_core(self.core, given.to(self.device, torch.float32)).to(given.device)
        return output.numpy() if isinstance(embeddings, np.ndarray) else output

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Texts through the run's teacher and the core: ``[len(texts), D_out]`` on the CPU."""
        if self._embedder is None:
            raise DataError("this run has no teacher of its own; give embeddings")
        if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
            raise DataError("encode takes a list of texts")
        if isinstance(texts, str) or not texts:
            raise DataError(f"encode takes a list of at least one text, not {texts!r}")
        return self(self._embedder(texts))

    @cached_property
    def _embedder(self) -> Embedder | None:
        """Kept, so that the teacher is loaded once for all calls."""
        return None if self.recipe is None else build_embedder(self.recipe, self.device)


def load_core(
    run: Path | str,
    device: str = "auto",
    host: PluginHost | None = None,
    core: nn.Module | None = None,
    backend: str = AUTO,
) -> TrainedCore:
    """The best core of a run. ``core``: for a run put together in Python, a module of the same architecture to load
    into. ``backend``: what computes the cells of a core made from a recipe, whatever it was trained with.

    CheckpointError where the run has no core, it is damaged, or of another architecture.
    """
    ensure_logging()
    if core is not None and backend != AUTO:
        raise EngineError(f"backend {backend!r} is for a core made from a recipe; give yours to use_backend")
    run_dir = Path(run)
    require_run_dir(run_dir)
    has_recipe = (run_dir / LOCK_FILE).is_file()
    if core is None and not has_recipe:
        raise CheckpointError(
            f"{run_dir}: no run made from a recipe: there is no {LOCK_FILE} in it; for a run put together in Python, "
            f"give load_core(..., core=...) the untrained core"
        )
    # What the recipe read need not be there any more, nor the backend that computed it.
    recipe = None
    if has_recipe:
        recipe = load_recipe(run_dir / LOCK_FILE, (f"lattice.backend={AUTO}",), host, check=False).recipe
    checkpoint = newest_checkpoint(run_dir, "best")
    try:
        facts = checkpoint.facts
        input_dim, output_dim, rms = int(facts["input_dim"]), int(facts["output_dim"]), float(facts["input_rms"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{checkpoint.path}: its manifest is damaged: {error!r}") from error
    target = resolve_device(device)
    if core is None and recipe is not None:
        core = build_core(recipe, input_dim, output_dim).to(target).eval()  # some cells compute less than in training
        use_backend(core, backend, batch=ROWS, host=host)
    assert core is not None, "either given, or built from the recipe"  # noqa: S101
    load_core_weights(checkpoint, core)
    return TrainedCore(core.to(target).eval().requires_grad_(False), input_dim, rms, target, recipe)
