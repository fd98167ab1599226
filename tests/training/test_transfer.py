"""A run that starts from another one's core starts where that one ended, on the same lattice or a larger one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from core_engine_kernels import Gru, Nca, Stencil
from core_engine_reshapes import Linear, Projection
from safetensors.torch import load_file

from core_engine import EmbeddingProcessor, Engine, KernelContext, Pairs, ReshapeContext, Result, Splits, Train
from core_engine.core.growth import grow_cells
from core_engine.errors import CheckpointError
from core_engine.recipe.training import AdamW

DIM = 24
ROTATION = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(9)))[0]


def rows(count: int, seed: int) -> Pairs:
    inputs = torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed))
    return Pairs(inputs, (inputs @ ROTATION).tanh(), group_ids=torch.arange(count))


def mse(output: torch.Tensor, target: torch.Tensor, batch: object) -> torch.Tensor:
    return (output - target).square().mean()


KERNELS: dict[str, Any] = {
    "stencil": Stencil(hidden=64),
    "stencil without positions": Stencil(hidden=64, position=False, update="gated"),
    "stencil periodic": Stencil(hidden=64, boundary="periodic", neighbours=26),
    "nca": Nca(hidden=64, fire_rate=1.0),
    "gru": Gru(),
}


def run(
    output: Path, kernel: Any, size: tuple[int, int, int], reshape: Any = None, channels: int = 16, **options: Any
) -> Result:
    reshape = (reshape or Projection(channels=6)).build(ReshapeContext(DIM, DIM, size, seed=0))
    core = EmbeddingProcessor(
        reshape=reshape,
        kernel=kernel.build(KernelContext(size, channels, reshape.channels, seed=0)),
        input_dim=DIM,
        output_dim=DIM,
        size=size,
        channels=channels,
        steps=3,
    )
    train = {"batch_size": 64, "monitor": "cosine", "optimizer": AdamW(lr=3e-3), "epochs": 12, **options}
    result = Engine(
        data=Splits(train=rows(1024, 0), validation=rows(128, 1), test=rows(128, 2)),
        core=core,
        loss=mse,
        train=Train(**train),
        baselines=[],
        output=output,
    ).run()
    assert result is not None
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Kernel -> a run of it on a lattice of two by two cells."""
    known: dict[str, Result] = {}

    def of(kernel: str) -> Result:
        if kernel not in known:
            known[kernel] = run(tmp_path_factory.mktemp("trained"), KERNELS[kernel], (2, 2, 1))
        return known[kernel]

    return of


@pytest.mark.parametrize("kernel", ["stencil", "gru"])
def test_the_same_lattice_starts_with_the_same_core(trained: Any, kernel: str, tmp_path: Path) -> None:
    small = trained(kernel)
    again = run(tmp_path, KERNELS[kernel], (2, 2, 1), init_from=small.run_dir, epochs=1)
    assert again.untrained == pytest.approx(small.test, nan_ok=True, abs=1e-6), "what was scored first is that core"
    assert again.untrained["cosine"] > 0.7


#: How far a grown lattice starts from where the smaller one ended, as a share of the way there from scratch.
FURTHEST = {"stencil": 0.01, "stencil without positions": 0.05, "nca": 0.01, "gru": 0.001}


@pytest.mark.parametrize("size", [(3, 2, 1), (4, 3, 2)])
@pytest.mark.parametrize("kernel", FURTHEST)
def test_a_grown_lattice_starts_where_the_smaller_one_ended(
    trained: Any, kernel: str, size: tuple[int, int, int], tmp_path: Path
) -> None:
    small = trained(kernel)
    grown = run(tmp_path, KERNELS[kernel], size, init_from=small.run_dir, epochs=1)
    scratch = run(tmp_path, KERNELS[kernel], size, epochs=1)
    end, start, untrained = (1 - figures["cosine"] for figures in (small.test, grown.untrained, scratch.untrained))
    assert end < 0.3 * untrained, "it must have learned something for the comparison to say anything"
    assert abs(start - end) < FURTHEST[kernel] * (untrained - end)
    assert grown.test["cosine"] > scratch.test["cosine"] + 0.5
    assert grown.parameters_without_gradient == []


def test_new_cells_learn(trained: Any, tmp_path: Path) -> None:
    """They start quiet, which must not mean dead."""
    size = (4, 2, 1)
    grown = run(tmp_path, KERNELS["stencil"], size, init_from=trained("stencil").run_dir, epochs=4)
    last = max(grown.run_dir.glob("checkpoints/step-*"))
    position = load_file(last / "core.safetensors")["kernel.position"]
    old = load_file(next(trained("stencil").run_dir.glob("checkpoints/best-*")) / "core.safetensors")["kernel.position"]
    start = torch.cat([old, old[-1:], old[-1:]]) - 3 * (torch.arange(4) > 1).view(4, 1, 1, 1)
    moved = (position - start).abs().flatten(1).mean(1)
    assert moved[2:].min() > 0.1 * moved[:2].max()


def test_a_periodic_lattice_closes_elsewhere_and_starts_further_off(trained: Any, tmp_path: Path) -> None:
    kernel = "stencil periodic"
    small = trained(kernel)
    grown = run(tmp_path, KERNELS[kernel], (3, 2, 1), init_from=small.run_dir, epochs=1)
    assert small.test["cosine"] - 0.3 < grown.untrained["cosine"] < small.test["cosine"] - 0.05
    assert grown.test["cosine"] > grown.untrained["cosine"]


def test_values_laid_out_in_rows_grow_along_x_alone(tmp_path: Path) -> None:
    reshape = Linear(channels=6)
    small = run(tmp_path, KERNELS["stencil"], (2, 2, 1), reshape)
    grown = run(tmp_path, KERNELS["stencil"], (3, 2, 1), reshape, init_from=small.run_dir, epochs=1)
    assert small.test["cosine"] > 0.7
    assert grown.untrained["cosine"] == pytest.approx(small.test["cosine"], abs=1e-2)
    with pytest.raises(CheckpointError, match="can grow along x alone"):
        run(tmp_path, KERNELS["stencil"], (2, 3, 1), reshape, init_from=small.run_dir, epochs=1)


def test_what_does_not_fit_is_said(trained: Any, tmp_path: Path) -> None:
    small = trained("stencil")
    for changes, words in (
        ({"init_from": tmp_path / "nowhere"}, "train.init_from: .*nowhere: no such run folder"),
        ({"init_from": tmp_path}, "no core in it"),
        ({"init_from": small.run_dir, "size": (1, 2, 1)}, "cannot be carried over to a smaller one"),
        ({"init_from": small.run_dir, "channels": 32}, "a core of another architecture: kernel"),
        ({"init_from": small.run_dir, "reshape": Projection(channels=6, rank=2)}, "a core of another architecture"),
    ):
        options = {"size": (2, 2, 1), **changes}
        with pytest.raises(CheckpointError, match=words):
            run(tmp_path / "runs", KERNELS["stencil"], **options)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("new_cells", ["zero", "nearest"])
def test_old_cells_keep_their_place(new_cells: Any) -> None:
    old = torch.arange(1.0, 13.0).reshape(2, 3, 1, 2)
    grown = grow_cells(old, (3, 3, 2), new_cells)
    assert torch.equal(grown[:2, :3, :1], old)
    assert torch.equal(grown[2, 1, 1], old[1, 1, 0] if new_cells == "nearest" else torch.zeros(2))
    with pytest.raises(ValueError, match="smaller one"):
        grow_cells(old, (3, 2, 2), new_cells)
