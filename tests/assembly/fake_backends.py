"""A plugin with a small kernel and backends for it: a right one, and one for everything that may be wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import core_engine_data
import core_engine_losses
import core_engine_reshapes
import torch
from attrs import frozen
from core_engine_reshapes import Linear
from torch import Tensor, nn

from core_engine import (
    BackendContext,
    CellKernel,
    Component,
    EmbeddingProcessor,
    KernelContext,
    ReshapeContext,
    RolloutCase,
    hookimpl,
)
from core_engine.core.noise import normal
from core_engine.errors import EngineError
from core_engine.host.host import PluginHost
from core_engine.host.registry import Provider

SIZE, CHANNELS, DIM = (2, 2, 3), 4, 20


def tiny_rollout(
    parameters: Mapping[str, Tensor], state: Tensor, drive: Tensor, first: int, steps: int, seed: int, ids: Tensor
) -> Tensor:
    for step in range(first, first + steps):
        state = state + 0.1 * normal(state.shape, seed, ids, step, state.dtype, state.device)
        around = torch.roll(state, 1, dims=1)
        hidden = torch.tanh(around @ parameters["mix"].T + drive @ parameters["feed"].T)
        state = state + hidden @ parameters["out"].T + parameters["bias"]
    return state


class Tiny(CellKernel):
    """A cell that starts as no change, as the bundled ones do."""

    def __init__(self, channels: int, drive_channels: int, seed: int) -> None:
        super().__init__()
        self.spec = ("tiny", channels)
        source = torch.Generator().manual_seed(seed)
        self.mix = nn.Parameter(torch.randn(channels, channels, generator=source) * 0.5)
        self.feed = nn.Parameter(torch.randn(channels, drive_channels, generator=source) * 0.5)
        self.out = nn.Parameter(torch.zeros(channels, channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def advance(
        self, state: Tensor, drive: Tensor, first_step: int, steps: int, seed: int, sample_ids: Tensor
    ) -> Tensor:
        return tiny_rollout(dict(self.named_parameters()), state, drive, first_step, steps, seed, sample_ids)


class Alone(nn.Module):
    """A kernel that is no CellKernel."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, state: Tensor, drive: Tensor, steps: int, seed: int, sample_ids: Tensor) -> Tensor:
        return state * self.gain


@frozen
class TinyConfig:
    """A small cell."""

    def build(self, context: KernelContext) -> Tiny:
        return Tiny(context.channels, context.drive_channels, context.seed)


@frozen
class AloneConfig:
    """A kernel of which only the call is known."""

    def build(self, context: KernelContext) -> Alone:
        return Alone()


class Fake:
    """A backend that computes the tiny cell by ``tiny_rollout``, and what differs from that."""

    def __init__(
        self,
        *,
        priority: int = 0,
        tolerance: float = 1e-6,
        refuses: Callable[[RolloutCase], str | None] = lambda case: None,
        parameters: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
        output: Callable[[Tensor], Tensor] = lambda output: output,
    ) -> None:
        self.priority, self.tolerance = priority, tolerance
        self._refuses, self._parameters, self._output = refuses, parameters, output
        self.calls: list[dict[str, Any]] = []
        self.cases: list[RolloutCase] = []
        self.context: BackendContext | None = None

    def supports(self, case: RolloutCase) -> str | None:
        self.cases.append(case)
        return self._refuses(case)

    def rollout(
        self,
        spec: object,
        parameters: Mapping[str, Tensor],
        state: Tensor,
        drive: Tensor,
        steps: int,
        seed: int,
        sample_ids: Tensor,
        memory: int | None,
    ) -> Tensor:
        self.calls.append({"spec": spec, "names": list(parameters), "batch": len(state), "memory": memory})
        return self._output(tiny_rollout(self._parameters(dict(parameters)), state, drive, 0, steps, seed, sample_ids))


def fake_host(**backends: Fake | Exception) -> PluginHost:
    """Bundled parts but kernels and backends, and this plugin. An exception is what building the backend raises."""
    host = PluginHost()
    for module in (core_engine_data, core_engine_losses, core_engine_reshapes):
        host.register(module, Provider(module.__name__, "core-engine", "0"))
    host.register(FakePlugin(backends), Provider("fakes", "fake-package", "0.5"))
    return host


class FakePlugin:
    def __init__(self, supplied: Mapping[str, Fake | Exception]) -> None:
        self._supplied = supplied

    @hookimpl
    def kernels(self) -> list[Component]:
        return [Component("tiny", TinyConfig), Component("alone", AloneConfig)]

    @hookimpl
    def backends(self) -> list[Component]:
        return [Component(name, _config(each)) for name, each in self._supplied.items()]


def _config(supplied: Fake | Exception) -> type[Any]:
    @frozen
    class Config:
        """A backend of the fake plugin."""

        def build(self, context: BackendContext) -> Fake:
            if isinstance(supplied, Exception):
                raise supplied
            supplied.context = context
            return supplied

    return Config


def tiny_core(kernel: nn.Module | None = None) -> EmbeddingProcessor:
    reshape = Linear(channels=2).build(ReshapeContext(DIM, DIM, SIZE, seed=0))
    return EmbeddingProcessor(
        reshape=reshape,
        kernel=kernel or Tiny(CHANNELS, reshape.channels, seed=0),
        input_dim=DIM,
        output_dim=DIM,
        size=SIZE,
        channels=CHANNELS,
        steps=3,
    )


# What may be wrong.


def wrong_output() -> Fake:
    """Off by one part in a thousand, with the right gradients."""
    return Fake(priority=9, output=lambda output: output + 0.001 * output.detach())


def wrong_gradient(name: str) -> Fake:
    """The right output, and twice the gradient of one parameter."""

    def doubled(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        value = parameters[name]
        return parameters | {name: 2 * value - value.detach()}

    return Fake(priority=9, parameters=doubled)


def no_gradient(name: str) -> Fake:
    """The right output, and no gradient of one parameter."""
    return Fake(priority=9, parameters=lambda parameters: parameters | {name: parameters[name].detach()})


def not_a_number() -> Fake:
    return Fake(priority=9, output=lambda output: output * float("nan"))


def fails(error: Exception) -> Fake:
    """Says that it supports the case, and raises at the rollout."""

    def output(output: Tensor) -> Tensor:
        raise error

    return Fake(priority=9, output=output)


def refuses(reason: str, priority: int = 9) -> Fake:
    return Fake(priority=priority, refuses=lambda case: reason)


def cannot_say() -> Fake:
    """Raises where it is asked what it supports."""

    def supports(case: RolloutCase) -> str | None:
        raise AttributeError("no attribute 'hidden'")

    return Fake(priority=9, refuses=supports)


MISSING_DRIVER = EngineError("the driver is missing; install it")
