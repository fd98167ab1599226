from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve
from core_engine_kernels.fused_cpu import library
from core_engine_kernels.fused_cpu.backend import FusedCpu, FusedCpuBackend
from core_engine_kernels.stencil.options import Stencil
from core_engine_kernels.stencil.spec import CellSpec

from core_engine import BackendContext, EmbeddingProcessor, KernelContext, ReshapeContext, RolloutCase, use_backend
from core_engine.errors import EngineError

CASE = RolloutCase(CellSpec(16, 4, 64), (4, 2, 2), 8, 3, torch.float32, torch.device("cpu"))


def core(hidden: int = 32, **options: Any) -> EmbeddingProcessor:
    from core_engine_reshapes import Linear

    size = (2, 2, 2)
    reshape = Linear().build(ReshapeContext(8, 8, size, seed=0))
    kernel = Stencil(hidden=hidden, **options).build(KernelContext(size, 8, reshape.channels, seed=0))
    return EmbeddingProcessor(reshape=reshape, kernel=kernel, input_dim=8, output_dim=8, size=size, channels=8, steps=3)


def backend() -> FusedCpuBackend:
    return FusedCpu().build(BackendContext("cpu"))


def test_supports_what_it_computes() -> None:
    assert backend().supports(CASE) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spec": None}, "stencil cells only"),
        ({"spec": CellSpec(24, 4, 64)}, "24 channels: it computes 8, 16, 32 or 64"),
        ({"spec": CellSpec(16, 4, 40)}, "a hidden layer of 40: it computes 32, 64, 96 or 128"),
        ({"spec": CellSpec(16, 65, 64)}, "65 drive channels: it computes up to 64"),
        ({"spec": CellSpec(16, 4, 64, dropout=0.1)}, "dropout 0.1: in training only backend 'reference' computes it"),
        ({"spec": CellSpec(16, 4, 64, update_probability=0.5)}, "update_probability 0.5: in training only backend"),
        ({"dtype": torch.float64}, "float32, and this is torch.float64"),
        ({"device": torch.device("meta")}, "on the CPU, and this is meta"),
    ],
)
def test_says_what_it_does_not_compute(change: dict[str, Any], reason: str) -> None:
    assert reason in (backend().supports(evolve(CASE, **change)) or "")


def test_is_what_auto_takes_and_agrees_with_the_reference() -> None:
    choice = use_backend(core(), "auto")
    assert choice.name == "fused_cpu"
    assert choice.error is not None
    assert choice.error < 1e-6


@pytest.mark.usefixtures("fresh_compiler")
def test_core_computes_the_same() -> None:
    fused, plain = core(), core()
    with torch.no_grad():
        for a, b in zip(fused.parameters(), plain.parameters(), strict=True):
            a.add_(0.1)
            b.copy_(a)
    use_backend(fused, "fused_cpu")
    given = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fused(given), plain(given), rtol=1e-5, atol=1e-6)
    compiled = torch.compile(fused, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(given), fused(given))


def test_a_core_that_is_converted_afterwards_has_to_choose_again() -> None:
    changed = core()
    use_backend(changed, "fused_cpu")
    changed.double()
    with pytest.raises(EngineError, match="choose the backend again"):
        changed(torch.zeros(1, 8, dtype=torch.float64))
    assert use_backend(changed, "auto").name == "reference"
    assert changed(torch.zeros(1, 8, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("options", [{"dropout": 0.2}, {"update_probability": 0.5}])
def test_what_training_leaves_out_is_for_the_reference_and_evaluation_for_the_backend(
    options: dict[str, float],
) -> None:
    changed = core(**options)
    choice = use_backend(changed, "auto")
    assert choice.name == "reference"
    assert next(iter(options)) in choice.refused["fused_cpu"]
    with pytest.raises(EngineError, match=r"in training only backend 'reference' computes it; use 'auto'"):
        use_backend(changed, "fused_cpu")
    assert use_backend(changed.eval(), "auto").name == "fused_cpu"
    given = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    plain = core()
    use_backend(plain, "fused_cpu")
    assert torch.equal(changed(given), plain(given))
    with pytest.raises(EngineError, match=r"choose the backend again \(use_backend\) after switching a core to train"):
        changed.train()(given)


def test_auto_says_why_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = core()
    elsewhere.kernel.backend = backend()  # as in a core that was pickled where there is a library
    monkeypatch.setattr(library, "EXTENSION_SUFFIXES", [])
    library.load.cache_clear()
    library.instruction_sets.cache_clear()
    try:
        choice = use_backend(core(), "auto")
        assert choice.name == "reference"
        assert "the compiled extension is not there" in choice.refused["fused_cpu"]
        with pytest.raises(EngineError, match=r"the compiled extension is not there.*reinstall core-engine"):
            use_backend(core(), "fused_cpu")
        with pytest.raises(EngineError, match=r"the compiled extension is not there.*reinstall core-engine"):
            elsewhere(torch.zeros(1, 8))
    finally:
        library.load.cache_clear()
        library.instruction_sets.cache_clear()
