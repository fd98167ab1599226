from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from core_engine_kernels import Stencil
from core_engine_kernels.stencil.cell import StencilCell
from safetensors.torch import load_file, save_file
from torch import Tensor

from core_engine import KernelContext
from core_engine.errors import EngineError

SIZE = (3, 2, 2)


def build(spec: Stencil | None = None, seed: int = 0) -> StencilCell:
    context = KernelContext(size=SIZE, channels=5, drive_channels=2, seed=seed)
    return (spec or Stencil(hidden=7)).build(context)


def state_and_drive(batch: int = 3) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(4)
    drive = torch.randn(batch, *SIZE, 2, generator=source)
    return torch.nn.functional.pad(drive, (0, 3)), drive


def run(cell: StencilCell, state: Tensor, drive: Tensor, steps: int = 2, seed: int = 0, first: int = 0) -> Tensor:
    result: Tensor = cell(state, drive, steps, seed, torch.arange(first, first + len(state)))
    return result


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": 0},
        *({"state_noise": value} for value in (-0.1, math.inf, math.nan)),
        *({"dropout": value} for value in (-0.1, 1.0, math.nan)),
        *({"update_probability": value} for value in (0.0, 1.1, math.nan)),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Stencil(**options)


def test_parameters_have_the_documented_names_and_shapes() -> None:
    documented = {
        "state_weight": (7, 7, 5),
        "drive_weight": (7, 2),
        "hidden_bias": (7,),
        "position": (*SIZE, 7),
        "update_weight": (5, 7),
        "update_bias": (5,),
    }
    assert {name: tuple(p.shape) for name, p in build().state_dict().items()} == documented
    gated = {"gate_weight": (5, 7), "gate_bias": (5,)}
    everything = build(Stencil(hidden=7, update="gated")).state_dict()
    assert {name: tuple(p.shape) for name, p in everything.items()} == documented | gated
    assert "position" not in build(Stencil(position=False)).state_dict()


def test_initial_values_come_from_the_contexts_seed_alone() -> None:
    before = torch.get_rng_state()
    first = build(seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    for name, value in build(seed=3).state_dict().items():
        assert torch.equal(value, first[name])
    assert not torch.equal(build(seed=4).state_weight, first["state_weight"])


def test_initial_values_are_spread_as_documented() -> None:
    context = KernelContext(size=(4, 4, 4), channels=16, drive_channels=4, seed=0)
    cell = Stencil(hidden=128).build(context)
    fan_in = 7 * 16 + 4
    for values, std in ((cell.state_weight, fan_in**-0.5), (cell.drive_weight, fan_in**-0.5), (cell.position, 1.0)):
        assert values.std().item() == pytest.approx(std, rel=0.1)
        assert abs(values.mean().item()) < 0.1 * std


@pytest.mark.parametrize("update", ["residual", "gated"])
def test_an_untrained_cell_leaves_the_state_as_it_is(update: Any) -> None:
    state, drive = state_and_drive()
    assert torch.equal(run(build(Stencil(hidden=7, update=update)), state, drive, steps=5), state)


@pytest.mark.parametrize("update", ["residual", "gated"])
@pytest.mark.parametrize("boundary", ["zero", "periodic"])
def test_from_the_third_training_step_on_every_value_of_every_parameter_has_a_gradient(
    update: Any, boundary: Any
) -> None:
    cell = build(Stencil(hidden=7, update=update, boundary=boundary))
    state, drive = state_and_drive(8)
    optimizer = torch.optim.SGD(cell.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        (run(cell, state, drive, steps=3)[..., :2] - 2 * drive.flip(1)).square().mean().backward()
        optimizer.step()
    for name, parameter in cell.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.ne(0).all(), name


def test_state_noise_is_on_in_evaluation_and_keyed_by_seed_sample_and_step() -> None:
    cell = build(Stencil(hidden=7, state_noise=0.5)).eval()
    state, drive = state_and_drive(4)
    before = torch.get_rng_state()
    once = run(cell, state, drive, steps=1)
    assert (once - state).std().item() == pytest.approx(0.5, rel=0.2)
    assert torch.equal(run(cell, state, drive, steps=1), once)
    assert not torch.equal(run(cell, state, drive, steps=1, seed=1), once)
    assert not torch.equal(run(cell, state, drive, steps=1, first=1), once)
    # An untrained cell only adds noise, fresh in each step.
    twice = run(cell, state, drive, steps=2) - state
    assert twice.std().item() == pytest.approx(0.5 * math.sqrt(2), rel=0.2)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_samples_result_does_not_depend_on_its_batch() -> None:
    cell = build(Stencil(hidden=7, state_noise=0.5))
    source = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source) * 0.2)
    state, drive = state_and_drive(6)
    together = run(cell, state, drive, steps=4, seed=8)
    for row in range(6):
        alone = run(cell, state[row : row + 1], drive[row : row + 1], steps=4, seed=8, first=row)
        torch.testing.assert_close(alone, together[row : row + 1], rtol=1e-5, atol=1e-6)


def test_gate_scales_the_update() -> None:
    cell = build(Stencil(hidden=7, update="gated"))
    state, drive = state_and_drive()
    with torch.no_grad():
        cell.update_bias.fill_(1.0)
        assert torch.equal(run(cell, state, drive, steps=1), state + 0.5)
        cell.gate_bias.fill_(-30.0)
        torch.testing.assert_close(run(cell, state, drive, steps=1), state)


@pytest.mark.parametrize(
    ("state", "drive", "says"),
    [
        ((2, *SIZE, 4), (2, *SIZE, 2), r"state is \[2, 3, 2, 2, 4\]; this kernel takes \[B, 3, 2, 2, 5\]"),
        ((2, *SIZE, 5), (2, *SIZE, 1), r"drive is \[2, 3, 2, 2, 1\]; this kernel takes \[B, 3, 2, 2, 2\]"),
        ((2, 2, 3, 2, 5), (2, 2, 3, 2, 2), r"state is \[2, 2, 3, 2, 5\]"),
        ((*SIZE, 5), (*SIZE, 2), r"state is \[3, 2, 2, 5\]"),
    ],
)
def test_wrong_shapes_are_named(state: tuple[int, ...], drive: tuple[int, ...], says: str) -> None:
    with pytest.raises(EngineError, match=says):
        run(build(), torch.zeros(state), torch.zeros(drive))


def test_weights_survive_safetensors(tmp_path: Path) -> None:
    cell = build(Stencil(hidden=7, update="gated"), seed=5)
    save_file(cell.state_dict(), tmp_path / "cell.safetensors")
    other = build(Stencil(hidden=7, update="gated"), seed=6)
    other.load_state_dict(load_file(tmp_path / "cell.safetensors"))
    for name, value in cell.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
