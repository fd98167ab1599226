"""What holds for ``nca`` and ``gru`` alike. (What is each one's own stands in test_nca_cell and test_gru_cell.)"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cell_oracles
import core_engine_kernels
import pytest
import torch
from core_engine_kernels import Gru, Nca
from core_engine_reshapes import Linear
from torch import Tensor

from core_engine import CellKernel, EmbeddingProcessor, Engine, KernelContext, ReshapeContext
from core_engine.errors import EngineError

Size = tuple[int, int, int]

ROOT = Path(__file__).parents[3]
SIZE: Size = (3, 2, 2)

#: Component -> its options, small; its oracle.
CELLS: dict[str, tuple[Any, Callable[..., Tensor]]] = {
    "nca": (Nca(hidden=6), cell_oracles.nca),
    "nca at once": (Nca(hidden=6, fire_rate=1.0), cell_oracles.nca),
    "gru": (Gru(), cell_oracles.gru),
}
each_cell = pytest.mark.parametrize("name", CELLS)


def build(name: str, size: Size = SIZE, channels: int = 4, drive: int = 2, seed: int = 0) -> CellKernel:
    cell: CellKernel = CELLS[name][0].build(KernelContext(size, channels, drive, seed))
    return cell


def spread(cell: CellKernel, scale: float = 0.4) -> CellKernel:
    """With all parameters away from zero."""
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=source) * scale)
    return cell


def inputs(batch: int = 3, size: Size = SIZE, channels: int = 4, drive: int = 2) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(4)
    state, driven = (torch.randn(batch, *size, width, generator=source) for width in (channels, drive))
    return state, driven


def test_the_plugin_supplies_them() -> None:
    assert [component.name for component in core_engine_kernels.kernels()] == ["stencil", "nca", "gru"]


@each_cell
@pytest.mark.parametrize("size", [(2, 3, 4), (3, 1, 2), (1, 1, 1), (1, 2, 5)])
def test_equal_to_the_oracle_with_every_gradient(name: str, size: Size) -> None:
    cell = spread(build(name, size)).double()
    ids = torch.arange(2) + 5
    results = []
    for run in (cell.advance, CELLS[name][1]):
        state, drive = (t.double().requires_grad_() for t in inputs(2, size))
        parameters = {key: p.detach().clone().requires_grad_() for key, p in cell.named_parameters()}
        before = () if run == cell.advance else (cell.spec, parameters)
        leaves = [state, drive, *(cell.parameters() if run == cell.advance else parameters.values())]
        final = run(*before, state, drive, 3, 2, 7, ids)
        weights = torch.linspace(-1, 1, final.numel(), dtype=torch.float64).reshape(final.shape)
        results.append([final.detach(), *torch.autograd.grad((final * weights).sum(), leaves)])
    for given, wanted in zip(*results, strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-10, atol=1e-10)


@each_cell
def test_gradcheck(name: str) -> None:
    size = (2, 1, 3)
    cell = spread(build(name, size, channels=2, drive=1)).double()
    names = [key for key, _ in cell.named_parameters()]

    def run(state: Tensor, drive: Tensor, *values: Tensor) -> Tensor:
        parameters = dict(zip(names, values, strict=True))
        result: Tensor = torch.func.functional_call(cell, parameters, (state, drive, 2, 0, torch.arange(2)))
        return result

    leaves = [*(t.double() for t in inputs(2, size, 2, 1)), *(p.detach() for p in cell.parameters())]
    assert torch.autograd.gradcheck(run, [leaf.clone().requires_grad_() for leaf in leaves])


@each_cell
def test_a_samples_result_does_not_depend_on_its_batch(name: str) -> None:
    cell = spread(build(name))
    state, drive = inputs(6)
    together = cell(state, drive, 4, 8, torch.arange(6))
    for row in range(6):
        alone = cell(state[row : row + 1], drive[row : row + 1], 4, 8, torch.tensor([row]))
        torch.testing.assert_close(alone, together[row : row + 1], rtol=1e-5, atol=1e-6)


@each_cell
def test_steps_may_be_taken_in_parts(name: str) -> None:
    cell = spread(build(name))
    state, drive = inputs()
    ids = torch.arange(3)
    halfway = cell.advance(state, drive, 0, 2, 8, ids)
    assert torch.equal(cell.advance(halfway, drive, 2, 3, 8, ids), cell(state, drive, 5, 8, ids))


@each_cell
def test_every_parameter_has_a_gradient_after_a_few_training_steps(name: str) -> None:
    cell = build(name)
    _, drive = inputs(8)
    state = torch.nn.functional.pad(drive, (0, 2))
    optimizer = torch.optim.SGD(cell.parameters(), lr=0.5)
    for step in range(4):
        optimizer.zero_grad()
        (cell(state, drive, 3, step, torch.arange(8))[..., :2] - 2 * drive.flip(1)).square().mean().backward()
        optimizer.step()
    for key, parameter in cell.named_parameters():
        assert parameter.grad is not None
        # relu: a unit may be off everywhere
        assert parameter.grad.ne(0).double().mean() > 0.7, key


@each_cell
def test_initial_values_come_from_the_contexts_seed_alone(name: str) -> None:
    before = torch.get_rng_state()
    first = build(name, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert all(torch.equal(value, first[key]) for key, value in build(name, seed=3).state_dict().items())
    other = build(name, seed=4).state_dict()
    assert not torch.equal(other["drive_weight"], first["drive_weight"])


@each_cell
@pytest.mark.usefixtures("fresh_compiler")
def test_compiles_without_graph_breaks(name: str) -> None:
    cell = spread(build(name))
    compiled = torch.compile(cell, fullgraph=True, backend="aot_eager")
    for seed in (1, 2**62 + 9):
        expected = cell(*inputs(), 3, seed, torch.arange(3))
        torch.testing.assert_close(compiled(*inputs(), 3, seed, torch.arange(3)), expected, rtol=1e-5, atol=1e-5)


@each_cell
def test_autocast_computes_in_bfloat16_and_keeps_the_state_in_float32(name: str) -> None:
    cell = spread(build(name))
    exact = cell(*inputs(), 4, 0, torch.arange(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = cell(*inputs(), 4, 0, torch.arange(3))
    assert mixed.dtype == torch.float32
    assert 1e-5 < ((mixed - exact).norm() / exact.norm()).item() < 2e-2
    mixed.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in cell.parameters())


@each_cell
def test_bfloat16_throughout(name: str) -> None:
    cell = spread(build(name)).bfloat16()
    state, drive = (t.bfloat16() for t in inputs())
    assert cell(state, drive, 2, 0, torch.arange(3)).dtype == torch.bfloat16


@each_cell
@pytest.mark.parametrize(
    ("state", "drive", "says"),
    [
        ((2, *SIZE, 3), (2, *SIZE, 2), r"state is \[2, 3, 2, 2, 3\]; this kernel takes \[B, 3, 2, 2, 4\]"),
        ((2, *SIZE, 4), (2, *SIZE, 1), r"drive is \[2, 3, 2, 2, 1\]; this kernel takes \[B, 3, 2, 2, 2\]"),
    ],
)
def test_wrong_shapes_are_named(name: str, state: tuple[int, ...], drive: tuple[int, ...], says: str) -> None:
    with pytest.raises(EngineError, match=says):
        build(name)(torch.zeros(state), torch.zeros(drive), 1, 0, torch.arange(2))


@each_cell
def test_it_learns_what_holds_on_other_rows(name: str) -> None:
    size, dim = (2, 2, 2), 24

    def task(rows: int, seed: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))
        return x, 1 - x.clamp(min=0)

    reshape = Linear(channels=3).build(ReshapeContext(dim, dim, size, seed=0))
    cell = (Gru() if name == "gru" else Nca(hidden=32, fire_rate=CELLS[name][0].fire_rate)).build(
        KernelContext(size, 6, reshape.channels, seed=0)
    )
    core = EmbeddingProcessor(
        reshape=reshape, kernel=cell, input_dim=dim, output_dim=dim, size=size, channels=6, steps=4
    )
    (inputs, targets), (held_out, wanted) = task(1000, 0), task(300, 1)
    core.fit(inputs, targets)
    with torch.no_grad():
        untrained = (core(held_out) - wanted).square().mean().item()
    optimizer = torch.optim.Adam(core.parameters(), lr=5e-3)
    order = torch.Generator().manual_seed(0)
    for step in range(200):
        rows = torch.randint(len(inputs), (64,), generator=order)
        optimizer.zero_grad()
        (core(inputs[rows], step, rows) - targets[rows]).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        trained = (core(held_out) - wanted).square().mean().item()
    constant = (wanted - targets.mean(0)).square().mean().item()
    assert trained < 0.4 * min(untrained, constant)


@each_cell
def test_it_trains_on_the_quickstart_through_the_engine(name: str, tmp_path: Path) -> None:
    options = {"nca": "{type: nca, hidden: 32}", "nca at once": "{type: nca, fire_rate: 1.0}", "gru": "{type: gru}"}
    changes = [
        f"lattice.kernel={options[name]}",
        "reshape.rank=0",  # nothing but the cells learns
        "train.optimizer.lr=1e-2",
        f"output={tmp_path}",
        "loggers=[{type: jsonl}]",
        "evaluation.baselines=[]",
    ]
    result = Engine.from_recipe(ROOT / "configs/quickstart.yaml", changes).run()
    assert result is not None
    assert result.parameters_without_gradient == []
    lines = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert losses[-1] < 0.6 * losses[0]
