"""Bundled cell kernels, and backends that compute them faster."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_kernels.fused_cpu.backend import FusedCpu
from core_engine_kernels.fused_cuda.backend import FusedCuda
from core_engine_kernels.gru.options import Gru
from core_engine_kernels.nca.options import Nca
from core_engine_kernels.stencil.options import Stencil


@hookimpl
def kernels() -> list[Component]:
    return [Component("stencil", Stencil), Component("nca", Nca), Component("gru", Gru)]


@hookimpl
def backends() -> list[Component]:
    return [Component("fused_cpu", FusedCpu), Component("fused_cuda", FusedCuda)]
