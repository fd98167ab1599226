"""What a package by somebody else looks like: one loss, data source, reshape and backend, and a lifecycle hook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import field, frozen
from attrs.validators import ge, gt

from core_engine import (
    BackendContext,
    Component,
    DataSourceContext,
    Example,
    Loss,
    LossContext,
    ReshapeContext,
    RunInfo,
    hookimpl,
)

if TYPE_CHECKING:
    from acme_lattice.gathered import GatheredBackend
    from acme_lattice.shuffled import ShuffledReshape

HOOK_API = 1


@frozen
class Cauchy:
    """Cauchy loss: quadratic below delta, logarithmic beyond (Black and Anandan, 1996)."""

    delta: float = field(default=1.0, validator=gt(0))

    def build(self, context: LossContext) -> Loss:
        return lambda output, target, batch: ((output - target) / self.delta).square().log1p().mean()


@frozen
class Arithmetic:
    """Sums of two numbers below ``largest``, as questions and answers; the first number is the group."""

    largest: int = field(default=16, validator=ge(8))

    def build(self, context: DataSourceContext) -> Sums:
        return Sums(self.largest)


@frozen
class Sums:
    largest: int

    def read(self) -> Iterator[Example]:
        for a in range(self.largest):
            for b in range(self.largest):
                question, answer = f"What is {a} plus {b}?", f"The sum of {a} and {b} is {a + b}."
                yield Example(f"{a}+{b}", question, answer, group=f"from {a}")


@frozen
class Shuffled:
    """Each value of the embedding at a place of its own, drawn at random; exact in both directions."""

    def lattice_channels(self, context: ReshapeContext) -> int:
        return -(-max(context.input_dim, context.output_dim) // context.cells)

    def build(self, context: ReshapeContext) -> ShuffledReshape:
        from acme_lattice.shuffled import ShuffledReshape

        return ShuffledReshape(context, self.lattice_channels(context))


@frozen
class Gathered:
    """Stencil cells whose neighbourhoods are written down, and multiplied in one product."""

    def build(self, context: BackendContext) -> GatheredBackend:
        from acme_lattice.gathered import GatheredBackend

        return GatheredBackend()


@hookimpl
def losses() -> list[Component]:
    return [Component("cauchy", Cauchy)]


@hookimpl
def data_sources() -> list[Component]:
    return [Component("arithmetic", Arithmetic)]


@hookimpl
def reshapes() -> list[Component]:
    return [Component("shuffled", Shuffled)]


@hookimpl
def backends() -> list[Component]:
    return [Component("gathered", Gathered)]


@hookimpl
def on_run_start(run: RunInfo) -> None:
    (run.run_dir / "acme.txt").write_text(f"{run.name}: {run.total_steps} steps\n", encoding="utf-8")
