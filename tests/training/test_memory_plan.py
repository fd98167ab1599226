"""The plan says what training takes: without taking it, and before anything else is done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from core_engine_kernels import Gru, Nca, Stencil
from core_engine_reshapes import Linear
from torch import Tensor, nn

from core_engine import CellLoop, EmbeddingProcessor, Engine, KernelContext, ReshapeContext, Train, use_backend
from core_engine.errors import EngineError, TrainingError
from core_engine.memory.free import free_memory
from core_engine.recipe.training import SGD
from core_engine.training.memory_plan import plan_memory, require_room

ROOT = Path(__file__).parents[2]
DIM, SIZE, CHANNELS, STEPS = 384, (8, 8, 12), 16, 8


def core_with(
    kernel: Any, memory: int | None = None, backend: str = "reference", size: tuple[int, int, int] = SIZE
) -> EmbeddingProcessor:
    reshape = Linear(channels=1).build(ReshapeContext(DIM, DIM, size, seed=0))
    core = EmbeddingProcessor(
        reshape=reshape,
        kernel=kernel.build(KernelContext(size, CHANNELS, reshape.channels, seed=0)),
        input_dim=DIM,
        output_dim=DIM,
        size=size,
        channels=CHANNELS,
        steps=STEPS,
    )
    use_backend(core, backend, memory=memory)
    return core


def kept_in_truth(core: EmbeddingProcessor, rows: int) -> int:
    """Bytes that autograd holds for the backward pass, each storage once, parameters and buffers left out."""
    own = {t.untyped_storage().data_ptr() for t in (*core.parameters(), *core.buffers())}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    core.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = core(torch.randn(rows, DIM), 0, torch.arange(rows))
    assert output.requires_grad  # and keeps all of them until here
    return sum(storages.values())


@pytest.mark.parametrize("kernel", [Stencil(hidden=64), Stencil(hidden=64, dropout=0.1), Nca(hidden=64), Gru()])
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_it_is_what_training_keeps_and_little_more(kernel: Any, backend: str) -> None:
    core = core_with(kernel, backend=backend)
    plan = plan_memory(core, DIM, Train(batch_size=16))
    assert plan.activations is not None
    kept = kept_in_truth(core, 16)
    assert kept > 3e6
    assert 0.99 * kept < plan.activations < 1.5 * kept
    assert all(parameter.grad is None for parameter in core.parameters()), "nothing was trained"
    assert all(type(parameter) is nn.Parameter for parameter in core.parameters())


def test_what_changes_it() -> None:
    def activations(memory: int | None = None, **options: Any) -> int:
        plan = plan_memory(core_with(Stencil(hidden=64), memory), DIM, Train(**options))
        assert plan.activations is not None
        return plan.activations

    whole = activations(batch_size=16)
    assert activations(1, batch_size=16) < 0.4 * whole
    assert activations(batch_size=16, accumulate=4) == pytest.approx(whole / 4, rel=0.05)
    assert activations(batch_size=16, precision="bfloat16") != whole
    core = core_with(Gru())
    weights = sum(4 * p.numel() for p in core.parameters())
    plan = plan_memory(core, DIM, Train(batch_size=4, ema=0.9))
    assert (plan.gradients, plan.optimizer) == (weights, 2 * weights)
    assert plan.weights == 2 * (weights + sum(b.numel() * b.element_size() for b in core.buffers()))
    for momentum, moments in ((0.9, 1), (0.0, 0)):
        options = Train(batch_size=4, optimizer=SGD(lr=0.1, momentum=momentum))
        assert plan_memory(core, DIM, options).optimizer == moments * weights
    assert plan_memory(core, DIM, Train(batch_size=5), processes=2).rows == 3


def test_a_plan_beyond_the_budget_is_an_error_with_a_remedy() -> None:
    core = core_with(Stencil(hidden=64))
    options = Train(batch_size=16, memory_budget="30MB")
    plan = plan_memory(core, DIM, options)
    with pytest.raises(TrainingError) as told:
        require_room(plan, core, options)
    assert str(told.value).startswith("training takes 62.")
    for words in (
        "train.memory_budget is 30.0 MB",
        "activations 61.2 MB for 16 rows at once",
        "lattice.memory: states",
        "raise train.accumulate (now 1) or lower train.batch_size",
        "a smaller lattice",
    ):
        assert words in str(told.value)
    core = core_with(Stencil(hidden=64), memory=1)
    require_room(plan_memory(core, DIM, options), core, options)
    require_room(plan, core, Train(batch_size=16, memory_budget="0.1GB"))


def test_without_a_budget_it_is_what_is_free() -> None:
    core = core_with(Stencil(hidden=64), size=(37, 37, 37))
    options = Train(batch_size=4096)
    plan = plan_memory(core, DIM, options)
    assert plan.activations is not None
    assert plan.activations > 9e11, "a terabyte is planned, and not taken"
    with pytest.raises(TrainingError, match="what is free on cpu is"):
        require_room(plan, core, options)
    assert 1e8 < free_memory(torch.device("cpu")) < 1e13


class Cell(nn.Module):
    """Looks at a value, which a tensor without contents has not."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        return state * self.scale if float(state.sum()) > 0 else state


def test_a_kernel_that_cannot_be_traced_is_no_error_and_says_why() -> None:
    reshape = Linear(channels=1).build(ReshapeContext(DIM, DIM, SIZE, seed=0))
    core = EmbeddingProcessor(
        reshape=reshape,
        kernel=CellLoop(Cell()),
        input_dim=DIM,
        output_dim=DIM,
        size=SIZE,
        channels=CHANNELS,
        steps=STEPS,
    )
    plan = plan_memory(core, DIM, Train(batch_size=2))
    assert plan.activations is None
    assert "activations not known (" in str(plan)
    require_room(plan, core, Train(batch_size=2))


def test_a_run_that_has_no_room_leaves_no_folder(tmp_path: Path) -> None:
    overrides = [f"output={tmp_path / 'runs'}", "train.memory_budget=1MB"]
    with pytest.raises(EngineError, match=r"train\.memory_budget is 1\.0 MB"):
        Engine.from_recipe(ROOT / "configs/quickstart.yaml", overrides).run()
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_lattice_of_37_cells_a_side_trains_within_four_gigabytes(tmp_path: Path) -> None:
    """In a process of its own, whose peak is its own."""
    (tmp_path / "recipe.yaml").write_text(
        f"extends: {ROOT / 'configs/quickstart.yaml'}\n"
        "lattice: {size: [37, 37, 37], channels: 32, steps: 37, memory: states, kernel: {hidden: 32}}\n"
        "reshape: {type: projection, channels: 1, init: principal, rank: 2}\n"
        "data: {split: {validation: 0.02, test: 0.02}}\n"
        "train: {batch_size: 2, max_steps: 1, epochs: null, memory_budget: 4GB}\n"
        "evaluation: {baselines: []}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "core_engine", "run", "recipe.yaml", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["steps"] == 1
    assert result["peak_rss_mb"] < 4000
    assert "memory=" in done.stderr
