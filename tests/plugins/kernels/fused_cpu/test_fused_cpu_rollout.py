from __future__ import annotations

from math import inf, nan
from typing import Any, get_args

import pytest
import torch
from core_engine_kernels.fused_cpu.limits import CHANNELS, HIDDEN
from core_engine_kernels.fused_cpu.rollout import forward
from core_engine_kernels.stencil.spec import Activation, CellSpec
from fused_cpu_cases import SEED, Case, Size, errors
from hypothesis import given, settings
from hypothesis import strategies as st

from core_engine.core.noise import normal

#: Where an activation has a kink, a hidden value within rounding of it may fall on either side.
LARGEST = {"relu": 2e-2}


def agrees(case: Case, isa: str | None = None, every: int = 1, most: float = 2e-6) -> None:
    found = errors(case.by_library(isa, every), case.by_reference())
    final = found.pop("final")
    assert final <= most
    worst = max(found, key=found.__getitem__)
    assert found[worst] <= LARGEST.get(case.spec.activation, most), worst


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_every_size_of_cell(isa: str, channels: int, hidden: int) -> None:
    gated = "gated" if hidden == 96 else "residual"
    agrees(Case.drawn(CellSpec(channels, 3, hidden, update=gated), (3, 2, 5), 3, 2), isa)


@pytest.mark.parametrize("neighbours", [6, 26])
@pytest.mark.parametrize("boundary", ["zero", "periodic"])
@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 3), (1, 4, 2), (3, 5, 7), (2, 2, 25)])
def test_every_shape_of_lattice(isa: str, neighbours: Any, boundary: Any, size: Size) -> None:
    agrees(Case.drawn(CellSpec(8, 1, 32, neighbours=neighbours, boundary=boundary), size, 2, 3), isa)


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("update", ["residual", "gated"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_every_cell(isa: str, activation: Any, update: Any, noise: float) -> None:
    agrees(Case.drawn(CellSpec(16, 5, 64, activation, update, state_noise=noise), (2, 3, 4), 3, 4), isa)


@given(
    channels=st.sampled_from(CHANNELS),
    drive=st.integers(1, 64),
    hidden=st.sampled_from(HIDDEN),
    activation=st.sampled_from(["gelu", "gelu_tanh", "silu"]),
    update=st.sampled_from(["residual", "gated"]),
    neighbours=st.sampled_from([6, 26]),
    boundary=st.sampled_from(["zero", "periodic"]),
    position=st.booleans(),
    noise=st.sampled_from([0.0, 0.2]),
    size=st.tuples(*[st.integers(1, 5)] * 3),
    batch=st.integers(1, 4),
    steps=st.integers(1, 5),
    every=st.integers(1, 6),
)
@settings(max_examples=60, deadline=None)
def test_at_random(
    channels: int,
    drive: int,
    hidden: int,
    position: bool,
    noise: float,
    size: Size,
    batch: int,
    steps: int,
    every: int,
    **kind: Any,
) -> None:
    spec = CellSpec(channels, drive, hidden, position=position, state_noise=noise, **kind)
    # (The gradient of a single number, such as the drive of a lattice of one cell, is a sum that may nearly cancel.)
    agrees(Case.drawn(spec, size, batch, steps), every=every, most=5e-5)


@pytest.mark.parametrize("every", [2, 3, 4, 7])
def test_fewer_kept_states_change_nothing(every: int) -> None:
    case = Case.drawn(CellSpec(16, 2, 32, update="gated", boundary="periodic", state_noise=0.1), (3, 3, 4), 3, 7)
    all_kept, some_kept = case.by_library(), case.by_library(every=every)
    for name, value in all_kept.items():
        assert torch.equal(value, some_kept[name]), name


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
@pytest.mark.parametrize("boundary", ["zero", "periodic"])
@pytest.mark.parametrize("neighbours", [6, 26])
def test_any_number_of_threads(batch: int, boundary: Any, neighbours: Any) -> None:
    """Threads with samples of their own, and threads that share one: the result is the same to the bit."""
    spec = CellSpec(8, 2, 32, boundary=boundary, neighbours=neighbours, state_noise=0.2)
    case = Case.drawn(spec, (5, 2, 3), batch, 3)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 5, 8):
            torch.set_num_threads(threads)
            results.append(case.by_library())
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert torch.equal(results[0]["final"], other["final"])
        assert max(errors(other, results[0]).values()) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("channels", [16, 32])
def test_error_at_batch_256(channels: int) -> None:
    """Gradients of weights are sums over 200,000 cells a step: in plain float they err by 5e-5."""
    case = Case.drawn(CellSpec(channels, 1, 64, position=False), (8, 8, 12), 256, 2)
    wanted = case.by_reference()
    assert max(errors(case.by_library(), wanted).values()) <= 2e-6
    assert max(errors(case.by_reference(torch.float32), wanted).values()) <= 1e-4


def test_noise_is_that_of_the_recipe() -> None:
    """A cell whose update is nothing shows it bare."""
    spec, size, steps = CellSpec(8, 1, 32, state_noise=1.0), (3, 4, 5), 3
    case = Case.drawn(spec, size, 2, steps)
    parameters = [
        torch.zeros_like(value) if name.startswith("update") else value for name, value in case.parameters.items()
    ]
    final = forward(spec, parameters, case.state, case.drive, case.sample_ids, steps, SEED, 1, False)[0]
    exact = case.state.double()
    for step in range(steps):
        exact += normal(exact.shape, SEED, case.sample_ids, step, torch.float64, exact.device)
    assert (final.double() - exact).abs().max() < 2e-6


def test_a_sample_does_not_depend_on_its_batch() -> None:
    case = Case.drawn(CellSpec(16, 2, 64, state_noise=0.4), (3, 4, 5), 6, 4)
    whole = case.by_library()["final"]
    rows = torch.tensor([4, 1])
    arguments = (case.spec, case.values, case.state[rows], case.drive[rows], case.sample_ids[rows])
    assert torch.equal(forward(*arguments, 4, SEED, 1, False)[0], whole[rows])


def test_a_cell_without_a_drive(isa: str) -> None:
    case = Case.drawn(CellSpec(8, 0, 32), (2, 3, 4), 2, 3)
    found, wanted = case.by_library(isa), case.by_reference()
    assert found["drive"].shape == (2, 2, 3, 4, 0)
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name].float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("where", ["state", "drive", "hidden_bias", "update_bias", "gate_weight", "gate_bias"])
@pytest.mark.parametrize("value", [nan, inf])
def test_what_is_no_number_in_the_reference_is_none_here(isa: str, activation: Any, where: str, value: float) -> None:
    """A run that diverged must not look as if it had not; and other samples know nothing of it."""
    case = Case.drawn(CellSpec(8, 5, 32, activation, "gated"), (3, 2, 4), 3, 2)
    healthy = case.by_library(isa)
    (getattr(case, where) if where in ("state", "drive") else case.parameters[where]).view(-1)[3] = value
    found, wanted = case.by_library(isa), case.by_reference(torch.float32)
    for name in found:
        assert not (found[name].isfinite() & ~wanted[name].isfinite()).any(), name
    if where in ("state", "drive"):
        for name in ("final", "state", "drive"):
            assert torch.equal(found[name][1:], healthy[name][1:]), name


def test_large_and_small_values() -> None:
    """What saturates stays finite, as in the reference."""
    for activation in get_args(Activation):
        case = Case.drawn(CellSpec(8, 1, 32, activation, "gated"), (2, 2, 2), 2, 1)
        for scale in (1e-20, 1e3, 1e15):
            case.state.mul_(scale)
            found = case.by_library()["final"]
            assert found.isfinite().all()
            torch.testing.assert_close(found, case.by_reference()["final"].float(), rtol=1e-4, atol=1e-5)
            case.state.div_(scale)
