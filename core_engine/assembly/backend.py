"""Which backend computes the cells: the one that was asked for, or the fastest that can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import structlog
import torch
from attrs import frozen
from torch import nn

from core_engine.contracts.backend import AUTO, REFERENCE, Backend, RolloutCase
from core_engine.contracts.component import Kind
from core_engine.contracts.contexts import BackendContext
from core_engine.core.cell_kernel import CellKernel
from core_engine.core.processor import EmbeddingProcessor
from core_engine.core.verify import error_against_reference
from core_engine.errors import EngineError, PluginError, RecipeError
from core_engine.host.host import PluginHost
from core_engine.host.registry import Registry
from core_engine.recipe.schema import Recipe

log = structlog.get_logger("core_engine.backend")

#: What ``auto`` takes for rounding. A backend that is further from the reference has to be asked for by name.
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 5e-2}


class UnsupportedError(EngineError):
    """What was asked for cannot compute this core. The message begins with the option it is about."""


@frozen
class BackendChoice:
    """``name``: what computes the cells. ``refused``: why each backend that was tried does not.

    ``error``: relative L2 error against the reference on one batch, over the output and every gradient; None for the
    reference itself.
    """

    name: str
    refused: Mapping[str, str]
    error: float | None = None


def use_backend(
    core: EmbeddingProcessor,
    backend: str = AUTO,
    *,
    batch: int = 64,
    memory: int | None = None,
    host: PluginHost | None = None,
) -> BackendChoice:
    """Has a core's cells computed by a backend; the core must be on its device and in its dtype already.

    ``backend``: a name, ``reference``, or ``auto``. ``batch``: samples a call, which may matter to what a backend
    supports. ``memory``: see :class:`CellKernel`. Anything but the reference is set beside it on one batch first.
    EngineError where the backend cannot compute this core, says why, or computes something else.
    """
    if not isinstance(core, EmbeddingProcessor):
        raise EngineError(f"use_backend takes an EmbeddingProcessor, not {type(core).__name__}")
    if batch < 1:
        raise EngineError(f"batch is the number of samples in a call, at least 1, not {batch}")
    host = host or PluginHost.discover()
    kernel = core.kernel
    if not isinstance(kernel, CellKernel):
        return _only_itself(kernel, backend, memory)
    kernel.memory = memory
    case = RolloutCase(
        spec=kernel.spec,
        size=core.size,
        batch=batch,
        steps=core.steps,
        dtype=core.normalizer.input_mean.dtype,
        device=core.normalizer.input_mean.device,
    )
    kernel.backend, kernel.backend_name = None, REFERENCE
    chosen, refused = _choose(backend, case, host.registry)
    if chosen is None:
        log.info("backend chosen", backend=REFERENCE, asked_for=backend, **_others(refused))
        return BackendChoice(REFERENCE, refused)
    name, implementation = chosen
    try:
        error = error_against_reference(kernel, implementation, case, core.channels, core.reshape.channels, memory)
    except EngineError:
        raise
    except Exception as failure:
        raise EngineError(
            f"backend {name!r} cannot be set beside the reference on one batch: {type(failure).__name__}: {failure}; "
            f"use backend 'reference', and report this"
        ) from failure
    if error > implementation.tolerance:
        raise EngineError(
            f"backend {name!r} computes something else than the reference: relative error {error:.1e} on one batch, "
            f"{implementation.tolerance:.0e} allowed; use backend 'reference', and report this"
        )
    kernel.backend, kernel.backend_name = implementation, name
    log.info("backend chosen", backend=name, asked_for=backend, error=f"{error:.1e}", **_others(refused))
    return BackendChoice(name, refused, error)


def use_recipe_backend(core: EmbeddingProcessor, recipe: Recipe, host: PluginHost) -> BackendChoice:
    """:func:`use_backend` with what a recipe says. RecipeError where its backend cannot compute it."""
    lattice = recipe.lattice
    try:
        return use_backend(core, lattice.backend, batch=recipe.train.batch_size, memory=lattice.kept_states, host=host)
    except UnsupportedError as error:
        raise RecipeError([f"lattice.{error}"]) from error


def backend_name(core: nn.Module) -> str | None:
    """What computes a core's cells; None where it has no lattice."""
    if not isinstance(core, EmbeddingProcessor):
        return None
    return core.kernel.backend_name if isinstance(core.kernel, CellKernel) else REFERENCE


def _others(refused: Mapping[str, str]) -> dict[str, str]:
    return {f"not_{name}": reason for name, reason in refused.items()}


def _only_itself(kernel: nn.Module, backend: str, memory: int | None) -> BackendChoice:
    """A kernel of which only the call is known."""
    what = f"kernel {type(kernel).__name__} is no CellKernel and computes its rollout itself"
    if backend not in (AUTO, REFERENCE):
        raise UnsupportedError(f"backend: {what}; use 'auto', not {backend!r}")
    if memory is not None:
        raise UnsupportedError(f"memory: {what}, and its memory cannot be bounded; use 'none'")
    return BackendChoice(REFERENCE, {})


def _choose(wanted: str, case: RolloutCase, registry: Registry) -> tuple[tuple[str, Backend] | None, dict[str, str]]:
    """The backend, None for the reference, and why others were refused."""
    if wanted == REFERENCE:
        return None, {}
    supported: list[tuple[str, Backend]] = []
    refused: dict[str, str] = {}
    for name in registry.names(Kind.BACKEND) if wanted == AUTO else [wanted]:
        try:
            implementation, reason = _asked(name, case, registry)
        except EngineError as error:
            if wanted != AUTO:
                raise
            refused[name] = str(error)
            continue
        if reason is None and wanted == AUTO and implementation.tolerance > _ROUNDING.get(case.dtype, 0.0):
            reason = f"it rounds more than {case.dtype} does ({implementation.tolerance:.0e}); ask for it by name"
        if reason is None:
            supported.append((name, implementation))
        else:
            refused[name] = reason
    if not supported:
        if wanted != AUTO:
            raise UnsupportedError(f"backend: {wanted!r} cannot compute this run: {refused[wanted]}; use 'auto'")
        return None, refused
    best = max(supported, key=lambda entry: entry[1].priority)
    return best, refused | {name: f"{best[0]} goes before it" for name, _ in supported if name != best[0]}


def _asked(name: str, case: RolloutCase, registry: Registry) -> tuple[Backend, str | None]:
    """The backend, and why it does not support the case. An EngineError where it cannot be asked."""
    registered = registry.get(Kind.BACKEND, name)
    try:
        implementation = cast(Backend, registered.component.config().build(BackendContext(device=str(case.device))))
        return implementation, implementation.supports(case)
    except EngineError:
        raise
    except Exception as error:
        raise PluginError(
            f"backend {name!r} ({registered.provider}) cannot be used: {type(error).__name__}: {error}"
        ) from error
