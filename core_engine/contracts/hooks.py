"""The hook specifications, and the markers that plugins import.

A plugin is a module (or any object) named by an entry point in the group ``core_engine.plugins``. It implements any of
these hooks with ``@hookimpl``::

    from attrs import field, frozen, validators
    from core_engine import Component, hookimpl

    @frozen
    class Cauchy:
        \"\"\"Cauchy loss (Black and Anandan, 1996).\"\"\"
        delta: float = field(default=1.0, validator=validators.gt(0))

        def build(self, context):
            return lambda output, target, batch: ((output - target) / self.delta).square().log1p().mean()

    @hookimpl
    def losses():
        return [Component("cauchy", Cauchy)]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from core_engine.contracts.component import Component

if TYPE_CHECKING:
    from core_engine.contracts.run import RunInfo

PROJECT = "core_engine"
ENTRY_POINT_GROUP = "core_engine.plugins"

#: Version of the hooks and contracts in this package. A plugin may state the one it was written for as a module
#: attribute of the same name; a plugin written for another is refused with a message that says so.
HOOK_API = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


# Components. Each is called once, when plugins are loaded.


@hookspec
def data_sources() -> Iterable[Component]:  # type: ignore[empty-body]
    """Components that read examples; built with DataSourceContext into a DataSource.

    A config class whose rows are embeddings rather than texts says so by a class attribute ``yields_embeddings =
    True``.
    """


@hookspec
def teachers() -> Iterable[Component]:  # type: ignore[empty-body]
    """Components that encode text; built with TeacherContext into a Teacher.

    The config class has a method ``embedding_dim() -> int | None``: the dimension where it can be known without
    loading weights.
    """


@hookspec
def reshapes() -> Iterable[Component]:  # type: ignore[empty-body]
    """Components between embeddings and lattice; built with ReshapeContext into a Reshape.

    The config class has a method ``lattice_channels(context) -> int``: how many channels carry values; ValueError
    where the embedding does not fit.
    """


@hookspec
def kernels() -> Iterable[Component]:  # type: ignore[empty-body]
    """Cell kernels; built with KernelContext into a Kernel."""


@hookspec
def backends() -> Iterable[Component]:  # type: ignore[empty-body]
    """Implementations of a kernel's rollout; built with BackendContext into a Backend.

    A recipe names one in ``lattice.backend``, without options: those of the config class have defaults.
    """


@hookspec
def losses() -> Iterable[Component]:  # type: ignore[empty-body]
    """Losses; built with LossContext into a Loss."""


@hookspec
def samplers() -> Iterable[Component]:  # type: ignore[empty-body]
    """Which training rows an epoch visits, and in what order; built with SamplerContext into a Sampler."""


@hookspec
def negatives() -> Iterable[Component]:  # type: ignore[empty-body]
    """Wrong targets for each training row; built with NegativesContext into Negatives."""


@hookspec
def rephrasers() -> Iterable[Component]:  # type: ignore[empty-body]
    """Other wordings of a text, for the data source ``expand``; built with RephraserContext into a Rephraser."""


@hookspec
def loggers() -> Iterable[Component]:  # type: ignore[empty-body]
    """Loggers; built with LoggerContext into a Logger."""


# Lifecycle. An exception in one of these stops the run: a plugin that wants to go on catches its own.


@hookspec
def on_run_start(run: RunInfo) -> None:
    """After everything is built and before the first step."""


@hookspec
def on_step_end(run: RunInfo, step: int) -> None:
    """After every optimiser step; ``step`` counts from 1. Runs in the training loop: keep it under a microsecond or
    two.
    """


@hookspec
def on_evaluation(run: RunInfo, step: int, metrics: Mapping[str, float]) -> None:
    """After the validation split was scored."""


@hookspec
def on_checkpoint(run: RunInfo, step: int, path: Path) -> None:
    """After a checkpoint folder is complete on disk."""


@hookspec
def on_run_end(run: RunInfo, result: Mapping[str, Any]) -> None:
    """After the result is written; ``result`` is what ``result.json`` holds."""
