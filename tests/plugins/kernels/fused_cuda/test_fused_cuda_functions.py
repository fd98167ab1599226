"""Activations and their derivatives as the kernels compute them, in float32."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
import torch
from core_engine_kernels.fused_cuda.variants import SOURCE, variant
from core_engine_kernels.stencil.spec import CellSpec
from cuda_emulator import compiled
from matched_reference import act


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "silu"])
def test_activations_are_far_more_accurate_than_bf16(activation: str, emulator_folder: Path) -> None:
    spec = CellSpec(16, 1, activation=activation)  # type: ignore[arg-type]
    library = compiled(emulator_folder, SOURCE, variant("functions", spec, warps=1), "functions.cpp")
    points = torch.cat([torch.linspace(-12, 12, 20001), torch.tensor([0.0, -1e15, 1e15, -1e-30, 1e-30, -88.0, 88.0])])
    value, derivative = torch.empty_like(points), torch.empty_like(points)
    addresses = (ctypes.c_void_p(values.data_ptr()) for values in (points, value, derivative))
    library.evaluate(*addresses, len(points))
    exact_value, exact_derivative = act(activation, points.double())
    # bf16 rounds by up to 2e-3 of a value.
    assert bool(((value - exact_value).abs() <= 1e-6 * exact_value.abs().clamp(min=1)).all())
    assert bool(((derivative - exact_derivative).abs() <= 2e-6).all())
