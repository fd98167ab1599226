"""Held-out rows for a finished run, and what its core makes of them."""

from __future__ import annotations

import math
from pathlib import Path

import attrs
from attrs import frozen
from torch import Tensor

from core_engine.assembly.build import build_embedder, build_sources
from core_engine.assembly.files import file_source
from core_engine.assembly.trained import TrainedCore, load_core
from core_engine.contracts.contexts import DataSourceContext
from core_engine.contracts.data import Example
from core_engine.contracts.objects import DataSource
from core_engine.core.processor import EmbeddingProcessor
from core_engine.data.noise import with_noise
from core_engine.data.pairs import Pairs
from core_engine.data.prepare import prepare_held_out, prepare_test
from core_engine.data.vectors import Embed
from core_engine.errors import DataError
from core_engine.host.host import PluginHost
from core_engine.recipe.modes import Autoencoder
from core_engine.recipe.schema import Recipe, Split


@frozen(eq=False)
class HeldOut:
    """A run's core, rows as it takes them, and what it makes of them: ``output [n, D_out]``.

    ``trained``: the same core, to be called. ``embed``: the run's teacher, None for a run on ready embeddings.
    ``pairs``: with the noise that the mode evaluates under. ``rows``, ``corpus_rows`` and ``report`` as in
    :class:`core_engine.data.prepare.HeldOutRows`.
    """

    recipe: Recipe
    core: EmbeddingProcessor
    trained: TrainedCore
    embed: Embed | None
    pairs: Pairs
    corpus: Tensor | None
    output: Tensor
    rows: list[Example]
    corpus_rows: list[Example]
    report: dict[str, object]


def apply_to(run_dir: Path, data: Path | None, corpus: Path | None, host: PluginHost) -> HeldOut:
    """The run's best core on the rows of a file, or where ``data`` is None on the run's own test split, which is made
    again from the locked recipe. Texts are embedded by the run's teacher. ``corpus``: in place of the run's own.
    """
    trained = load_core(run_dir, host=host)
    recipe, core = trained.recipe, trained.core
    assert recipe is not None and isinstance(core, EmbeddingProcessor)  # noqa: S101, PT018 - made from the lock
    embed = build_embedder(recipe, trained.device)
    extra = None if corpus is None else file_source(corpus, host, texts="texts")
    if data is None:
        sources = build_sources(recipe, embed)
        held_out = prepare_test(
            sources if extra is None else attrs.evolve(sources, corpus=extra),
            recipe.mode,
            recipe.data.filters,
            recipe.data.split or Split(),
            recipe.seed,
            embed,
        )
    else:
        held_out = prepare_held_out(_source(recipe, data, host), extra, recipe.mode, recipe.data.filters, embed)
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
        recipe,
        core,
        trained,
        embed,
        pairs,
        held_out.corpus,
        trained(pairs.inputs),
        held_out.rows,
        held_out.corpus_rows,
        held_out.report,
    )


def _source(recipe: Recipe, path: Path, host: PluginHost) -> DataSource:
    """The run's own kind of source, reading another file; for a source that reads no such file, the usual one."""
    own = recipe.data.test or recipe.data.train
    if "path" in attrs.fields_dict(type(own.config)):
        source: DataSource = attrs.evolve(own.config, path=path).build(DataSourceContext(recipe.seed))
        return source
    return file_source(path, host, texts="dialogues")
