"""What a component's ``build(context)`` is given, one class per kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import Factory, frozen

if TYPE_CHECKING:
    from torch import Tensor


@frozen
class DataSourceContext:
    """``seed``: the recipe's seed, for a source that samples. ``embed``: the run's teacher behind its store, texts to
    float32 ``[n, D]``, for a source that weighs texts; None where the recipe has none.
    """

    seed: int
    embed: Callable[[Sequence[str]], Tensor] | None = None


@frozen
class TeacherContext:
    """``device``: a torch device string such as ``cpu`` or ``cuda:0``, never ``auto``."""

    device: str


@frozen
class ReshapeContext:
    """Dimensions on both sides of the core. ``size``: cells along x, y and z."""

    input_dim: int
    output_dim: int
    size: tuple[int, int, int]
    seed: int

    @property
    def cells(self) -> int:
        return self.size[0] * self.size[1] * self.size[2]


@frozen
class KernelContext:
    """``channels``: floats per cell of the state. ``drive_channels``: floats per cell of the drive."""

    size: tuple[int, int, int]
    channels: int
    drive_channels: int
    seed: int


@frozen
class BackendContext:
    """``device``: a torch device string such as ``cpu`` or ``cuda:0``, never ``auto``."""

    device: str


@frozen
class LossContext:
    """``dim``: dimension of output and target. ``further``: of the embeddings of each further teacher, by name."""

    dim: int
    seed: int
    further: Mapping[str, int] = Factory(dict)


@frozen
class SamplerContext:
    """Nothing is known before the data are read: see :class:`core_engine.Epoch`."""


@frozen
class NegativesContext:
    """Nothing is known before the data are read: see :class:`core_engine.Search`."""


@frozen
class RephraserContext:
    """``device``: a torch device string such as ``cpu`` or ``cuda:0``, never ``auto``."""

    device: str
    seed: int


@frozen
class LoggerContext:
    """``resumed_step``: the optimiser step a resumed run goes on from, else None: later records are stale."""

    run_dir: Path
    run_name: str
    total_steps: int
    resumed_step: int | None
