"""Scores a finished run on other data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen
from torch import Tensor

from core_engine.assembly.build import build_embedder
from core_engine.assembly.files import file_source
from core_engine.assembly.trained import load_core
from core_engine.contracts.contexts import DataSourceContext
from core_engine.contracts.objects import DataSource
from core_engine.core.processor import EmbeddingProcessor
from core_engine.data.noise import with_noise
from core_engine.data.pairs import Pairs
from core_engine.data.prepare import prepare_held_out
from core_engine.errors import DataError
from core_engine.evaluation.intervals import interval
from core_engine.evaluation.metrics import evaluate, score_rows, summary
from core_engine.host.host import PluginHost
from core_engine.recipe.modes import Autoencoder
from core_engine.recipe.schema import Recipe


@frozen(eq=False)
class HeldOut:
    """A run's core, other rows as it takes them, and what it makes of them: ``output [n, D_out]``.

    ``ids``: of the rows, by the source. ``report``: of the data, plain.
    """

    core: EmbeddingProcessor
    pairs: Pairs
    corpus: Tensor | None
    output: Tensor
    ids: list[str]
    report: dict[str, object]


def score_run(run_dir: Path, data: Path, corpus: Path | None, host: PluginHost) -> dict[str, Any]:
    """``run_dir``, ``test``, ``intervals`` of those of its metrics that are means over rows (metric -> low and high,
    see :mod:`core_engine.evaluation.intervals`), ``baselines`` (those that need no fitting: identity and mean shift)
    and ``data``.
    """
    held_out = apply_to(run_dir, data, corpus, host)
    pairs = held_out.pairs
    by_row = score_rows(held_out.output, pairs, held_out.corpus)
    return {
        "run_dir": str(run_dir),
        "test": summary(held_out.output, pairs, by_row),
        "intervals": {
            name: [found.low, found.high]
            for name, values in by_row.items()
            if (found := interval(values, pairs.group_ids)) is not None
        },
        "baselines": _unfitted(held_out.core, pairs, held_out.corpus),
        "data": held_out.report,
    }


def apply_to(run_dir: Path, data: Path, corpus: Path | None, host: PluginHost) -> HeldOut:
    """The run's best core on the rows of a file, which are embedded by the run's teacher."""
    trained = load_core(run_dir, host=host)
    recipe, core = trained.recipe, trained.core
    assert recipe is not None and isinstance(core, EmbeddingProcessor)  # noqa: S101, PT018 - made from the lock
    pairs, extra, ids, report = prepare_held_out(
        _source(recipe, data, host),
        None if corpus is None else file_source(corpus, host, texts="texts"),
        recipe.mode,
        recipe.data.filters,
        build_embedder(recipe, trained.device),
    )
    if pairs.inputs.shape[1] != trained.input_dim or pairs.targets.shape[1] != core.output_dim:
        raise DataError(
            f"{data}: embeddings have {pairs.inputs.shape[1]} and {pairs.targets.shape[1]} dimensions; "
            f"the run's core maps {trained.input_dim} to {core.output_dim}"
        )
    if isinstance(recipe.mode, Autoencoder):
        # In the measure of the training inputs, as in the run itself.
        std = recipe.mode.evaluation_noise * trained.input_rms / math.sqrt(trained.input_dim)
        pairs = with_noise(pairs, std, recipe.seed, "test")
    return HeldOut(core, pairs, extra, trained(pairs.inputs), ids, report)


def _unfitted(core: EmbeddingProcessor, pairs: Pairs, corpus: Tensor | None) -> dict[str, dict[str, float]]:
    if pairs.inputs.shape[1] != pairs.targets.shape[1]:
        return {}
    normalizer = core.normalizer.to(pairs.inputs.device)
    shifted = pairs.inputs - normalizer.input_mean + normalizer.target_mean
    return {"identity": evaluate(pairs.inputs, pairs, corpus), "mean_shift": evaluate(shifted, pairs, corpus)}


def _source(recipe: Recipe, path: Path, host: PluginHost) -> DataSource:
    """The run's own kind of source, reading another file; for a source that reads no such file, the usual one."""
    own = recipe.data.test or recipe.data.train
    if "path" in attrs.fields_dict(type(own.config)):
        source: DataSource = attrs.evolve(own.config, path=path).build(DataSourceContext(recipe.seed))
        return source
    return file_source(path, host, texts="dialogues")
