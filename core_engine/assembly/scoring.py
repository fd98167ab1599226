"""Scores a finished run on other data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen
from torch import Tensor

from core_engine.assembly.build import build_core, build_embedder, build_sources
from core_engine.assembly.files import file_source
from core_engine.assembly.trained import load_core
from core_engine.contracts.contexts import DataSourceContext
from core_engine.contracts.data import Example
from core_engine.contracts.objects import DataSource
from core_engine.core.processor import EmbeddingProcessor
from core_engine.data.noise import with_noise
from core_engine.data.pairs import Pairs
from core_engine.data.prepare import prepare_held_out, prepare_test
from core_engine.errors import DataError
from core_engine.evaluation.intervals import interval
from core_engine.evaluation.metrics import evaluate, score_rows, summary
from core_engine.host.host import PluginHost
from core_engine.recipe.modes import Autoencoder
from core_engine.recipe.schema import Recipe, Split
from core_engine.training.inference import apply_core


@frozen(eq=False)
class HeldOut:
    """A run's core, rows as it takes them, and what it makes of them: ``output [n, D_out]``.

    ``pairs``: with the noise that the mode evaluates under. ``rows``, ``corpus_rows`` and ``report`` as in
    :class:`core_engine.data.prepare.HeldOutRows`.
    """

    core: EmbeddingProcessor
    recipe: Recipe
    pairs: Pairs
    corpus: Tensor | None
    output: Tensor
    rows: list[Example]
    corpus_rows: list[Example]
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
        "baselines": {
            name: evaluate(output, pairs, held_out.corpus)
            for name, output in unfitted_baselines(held_out.core, pairs).items()
        },
        "data": held_out.report,
    }


def apply_to(run_dir: Path, data: Path | None, corpus: Path | None, host: PluginHost) -> HeldOut:
    """The run's best core on the rows of a file, or where ``data`` is None on the run's own test split, which is made
    again from the locked recipe. Texts are embedded by the run's teacher. ``corpus``: in place of the run's own.
    """
    trained = load_core(run_dir, host=host)
    recipe, core = trained.recipe, trained.core
    assert recipe is not None and isinstance(core, EmbeddingProcessor)  # noqa: S101, PT018 - made from the lock
    embedder = build_embedder(recipe, trained.device)
    extra = None if corpus is None else file_source(corpus, host, texts="texts")
    if data is None:
        sources = build_sources(recipe, embedder)
        held_out = prepare_test(
            sources if extra is None else attrs.evolve(sources, corpus=extra),
            recipe.mode,
            recipe.data.filters,
            recipe.data.split or Split(),
            recipe.seed,
            embedder,
        )
    else:
        held_out = prepare_held_out(_source(recipe, data, host), extra, recipe.mode, recipe.data.filters, embedder)
    pairs = held_out.pairs
    if pairs.inputs.shape[1] != trained.input_dim or pairs.targets.shape[1] != core.output_dim:
        raise DataError(
            f"{data or run_dir}: embeddings have {pairs.inputs.shape[1]} and {pairs.targets.shape[1]} dimensions; "
            f"the run's core maps {trained.input_dim} to {core.output_dim}"
        )
    if isinstance(recipe.mode, Autoencoder):
        # In the measure of the training inputs, as in the run itself.
        std = recipe.mode.evaluation_noise * trained.input_rms / math.sqrt(trained.input_dim)
        pairs = with_noise(pairs, std, recipe.seed, "test")
    return HeldOut(
        core,
        recipe,
        pairs,
        held_out.corpus,
        trained(pairs.inputs),
        held_out.rows,
        held_out.corpus_rows,
        held_out.report,
    )


def unfitted_baselines(core: EmbeddingProcessor, pairs: Pairs) -> dict[str, Tensor]:
    """What the maps that need no fitting make of the inputs, by name: identity and mean shift, ``[n, D]`` each. None
    of them where input and target have different dimensions.
    """
    if pairs.inputs.shape[1] != pairs.targets.shape[1]:
        return {}
    means = core.normalizer.input_mean, core.normalizer.target_mean
    input_mean, target_mean = (mean.to(pairs.inputs.device) for mean in means)
    return {"identity": pairs.inputs, "mean_shift": pairs.inputs - input_mean + target_mean}


def untrained_output(held_out: HeldOut) -> Tensor:
    """``[n, D_out]``: what the run's core gives before training, where nothing that the run fits to its training rows
    is trained as well (as the axes of a learned ``principal`` projection are), and where it started from no other run.
    Elsewhere of another core: see that the figures are those of the run.
    """
    core = held_out.core
    untrained = build_core(held_out.recipe, core.input_dim, core.output_dim).to(held_out.pairs.inputs.device).eval()
    untrained.load_state_dict(dict(core.named_buffers()), strict=False)
    return apply_core(untrained, held_out.pairs.inputs)


def _source(recipe: Recipe, path: Path, host: PluginHost) -> DataSource:
    """The run's own kind of source, reading another file; for a source that reads no such file, the usual one."""
    own = recipe.data.test or recipe.data.train
    if "path" in attrs.fields_dict(type(own.config)):
        source: DataSource = attrs.evolve(own.config, path=path).build(DataSourceContext(recipe.seed))
        return source
    return file_source(path, host, texts="dialogues")
