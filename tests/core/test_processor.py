from __future__ import annotations

from typing import Any

import pytest
import torch
from core_engine_kernels import Stencil
from core_engine_reshapes import Linear, Projection
from torch import Tensor, nn

from core_engine import CellLoop, EmbeddingProcessor, KernelContext, ReshapeContext
from core_engine.core.shortcut import Shortcut
from core_engine.errors import DataError, EngineError

SIZE = (2, 2, 2)
LINEAR = Linear(channels=2)


class Recorder(nn.Module):
    """A kernel that returns what it is told to and remembers how it was called."""

    def __init__(self, change: Any = lambda state: state) -> None:
        super().__init__()
        self.change = change
        self.calls: list[tuple[Tensor, Tensor, int, int, Tensor]] = []

    def forward(self, state: Tensor, drive: Tensor, steps: int, seed: int, sample_ids: Tensor) -> Any:
        self.calls.append((state, drive, steps, seed, sample_ids))
        return self.change(state)


def processor(
    kernel: nn.Module | None = None,
    reshape: Any = LINEAR,
    input_dim: int = 13,
    output_dim: int = 13,
    channels: int = 4,
    shortcut: Shortcut | None = None,
    **options: Any,
) -> EmbeddingProcessor:
    built = reshape.build(ReshapeContext(input_dim, output_dim, SIZE, seed=0))
    if kernel is None:
        kernel = Stencil(hidden=8, **options).build(KernelContext(SIZE, channels, built.channels, seed=0))
    return EmbeddingProcessor(
        reshape=built,
        kernel=kernel,
        input_dim=input_dim,
        output_dim=output_dim,
        size=SIZE,
        channels=channels,
        steps=3,
        shortcut=shortcut,
    )


def rows(n: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) * 0.3 + 0.1


def moved(core: EmbeddingProcessor, scale: float = 0.2) -> EmbeddingProcessor:
    """With all parameters away from where they start."""
    source = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in core.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source) * scale)
    return core


@pytest.mark.parametrize(
    "reshape", [Linear(channels=2), Projection(channels=2), Projection(channels=2, init="principal")]
)
def test_untrained_core_is_the_mean_shift(reshape: Any) -> None:
    inputs, targets = rows(50, 13), rows(50, 13, seed=1) * 2 - 1
    core = processor(reshape=reshape)
    core.fit(inputs, targets)
    centred = inputs - inputs.mean(0)
    scale = (targets - targets.mean(0)).square().mean().sqrt() / centred.square().mean().sqrt()
    torch.testing.assert_close(core(inputs), centred * scale + targets.mean(0), rtol=1e-4, atol=1e-5)


def test_the_kernel_is_given_state_drive_and_keys() -> None:
    kernel = Recorder()
    core = processor(kernel)
    x = rows(5, 13)
    core.fit(x, x)
    core(x, seed=7, sample_ids=torch.tensor([9, 8, 7, 6, 5]))
    core(x)
    (state, drive, steps, seed, ids), (*_, default_seed, default_ids) = kernel.calls
    assert state.shape == (5, *SIZE, 4)
    assert drive.shape == (5, *SIZE, 2)
    assert torch.equal(state[..., :2], drive)
    assert not state[..., 2:].any()
    torch.testing.assert_close(drive.flatten(1)[:, :13], core.normalizer.normalise_input(x))
    assert (steps, seed, ids.tolist()) == (3, 7, [9, 8, 7, 6, 5])
    assert (default_seed, default_ids.tolist()) == (0, [0, 1, 2, 3, 4])
    assert default_ids.dtype == torch.int64


def test_only_the_first_channels_are_read() -> None:
    core = processor(Recorder(lambda state: state + torch.tensor([1.0, 2.0, 100.0, 100.0])))
    shift = core(torch.zeros(1, 13))
    assert shift.tolist() == [[1, 2] * 6 + [1]]


def test_fit_centres_only_where_it_should() -> None:
    x = rows(50, 13)
    core = processor()
    core.centre = False
    core.fit(x, x)
    assert not core.normalizer.input_mean.any()


def test_the_reshape_is_fitted_on_normalised_training_rows() -> None:
    inputs, targets = rows(40, 13), rows(40, 13, seed=1)
    core = processor()
    seen: list[Tensor] = []
    core.reshape.fit = lambda *given: seen.extend(given)  # type: ignore[method-assign]
    core.fit(inputs, targets)
    for z in seen:
        torch.testing.assert_close(z.mean(0), torch.zeros(13), atol=1e-6, rtol=0)
        assert z.square().mean().item() == pytest.approx(1, abs=1e-5)
    assert len(seen) == 2


@pytest.mark.parametrize(
    "options", [{"state_noise": 0.5}, {"update": "gated", "boundary": "periodic", "state_noise": 0.5}]
)
@pytest.mark.parametrize("reshape", [Linear(channels=2), Projection(channels=2, init="principal", rank=2)])
def test_a_row_alone_is_the_row_in_a_batch(reshape: Any, options: dict[str, Any]) -> None:
    core = processor(reshape=reshape, **options)
    x = rows(9, 13)
    core.fit(x, x)
    moved(core).eval()
    with torch.no_grad():
        together = core(x, 3)
        assert not torch.allclose(together, core(x, 4), atol=1e-2), "the noise is on"
        for row in range(9):
            alone = core(x[row : row + 1], 3, torch.tensor([row]))
            assert (alone - together[row]).norm() / together[row].norm() < 1e-6


def test_float64_and_autocast() -> None:
    core = processor(reshape=Projection(channels=2), state_noise=0.3, update="gated")
    x = rows(9, 13)
    core.fit(x, x)
    moved(core)
    single = core(x, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = core(x, 3)
    double = core.double()(x.double(), 3)
    assert (single.dtype, mixed.dtype, double.dtype) == (torch.float32, torch.float32, torch.float64)
    assert (single - double).norm() / double.norm() < 1e-6
    assert 1e-5 < (mixed - double).norm() / double.norm() < 2e-2


def test_the_state_is_float32_under_autocast_whatever_the_reshape_computes_in() -> None:
    kernel = Recorder()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        core = processor(kernel, reshape=Projection(channels=2))
        assert core.reshape.to_lattice(rows(2, 13)).dtype == torch.bfloat16
        core(rows(2, 13))
    state, drive, *_ = kernel.calls[0]
    assert (state.dtype, drive.dtype) == (torch.float32, torch.float32)


def test_embeddings_of_another_dtype_are_taken() -> None:
    core = processor()
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert core(rows(2, 13).to(dtype)).dtype == torch.float32


def test_input_and_output_may_differ_in_dimension() -> None:
    core = processor(input_dim=13, output_dim=6)
    core.fit(rows(9, 13), rows(9, 6))
    assert core(rows(9, 13)).shape == (9, 6)


def test_own_module_as_cell() -> None:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(6, 4)

        def forward(self, state: Tensor, drive: Tensor) -> Tensor:
            update: Tensor = self.mix(torch.cat([state, drive], -1))
            return state + update

    core = processor(CellLoop(Cell()))
    core(rows(2, 13)).sum().backward()
    assert {name for name, p in core.named_parameters() if p.grad is not None} == {
        "kernel.cell.mix.weight",
        "kernel.cell.mix.bias",
    }


def test_state_dict_carries_what_was_fitted() -> None:
    x = rows(9, 13)
    core = processor(reshape=Projection(channels=2, init="principal", rank=0))
    core.fit(x, x)
    other = processor(reshape=Projection(channels=2, init="principal", rank=0))
    other.load_state_dict(moved(core).state_dict())
    assert torch.equal(other(x), core(x))


@pytest.mark.usefixtures("fresh_compiler")
def test_compiles_without_graph_breaks() -> None:
    core = moved(processor(state_noise=0.3))
    compiled = torch.compile(core, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(rows(4, 13), 2), core(rows(4, 13), 2))


def test_reach_follows_the_reshape_and_the_boundary() -> None:
    core = processor(reshape=Linear(channels=1), input_dim=1, output_dim=8)
    core.steps = 1
    assert core.reach().share_of_outputs == pytest.approx(4 / 8)
    assert processor().reach().share_of_pairs == 1
    whole = EmbeddingProcessor(
        reshape=Linear().build(ReshapeContext(1, 9, (9, 1, 1), seed=0)),
        kernel=Stencil(boundary="periodic").build(KernelContext((9, 1, 1), 1, 1, seed=0)),
        input_dim=1,
        output_dim=9,
        size=(9, 1, 1),
        channels=1,
        steps=2,
    )
    assert whole.reach().share_of_outputs == pytest.approx(5 / 9)


@pytest.mark.parametrize("shape", [(4, 12), (4, 14), (13,), (1, 4, 13)])
def test_embeddings_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"takes \[B, 13\]"):
        processor()(torch.zeros(shape))


def test_a_kernel_that_returns_no_state_is_named() -> None:
    with pytest.raises(EngineError, match=r"kernel Recorder returned \[5, 2, 2, 2, 1\] for a state \[5, 2, 2, 2, 4\]"):
        processor(Recorder(lambda state: state[..., :1]))(rows(5, 13))


def test_parts_that_do_not_fit_together() -> None:
    with pytest.raises(EngineError, match="2 channels, and the lattice has 1"):
        processor(Recorder(), channels=1)
    with pytest.raises(EngineError, match=r"kernel must be an nn\.Module, not function"):
        processor(lambda *given: given[0])  # type: ignore[arg-type]
    built = Linear(channels=2).build(ReshapeContext(13, 13, SIZE, seed=0))
    with pytest.raises(EngineError, match="at least one step, not 0"):
        EmbeddingProcessor(
            reshape=built, kernel=Recorder(), input_dim=13, output_dim=13, size=SIZE, channels=4, steps=0
        )


def test_beside_a_shortcut_the_lattice_gives_what_its_steps_change() -> None:
    plain, beside = (
        moved(processor()),
        moved(processor(shortcut=Shortcut(13, 13, rank=3, width=13, axes="inputs", seed=1))),
    )
    x, y = rows(50, 13), rows(50, 13, seed=1) * 2 + 1
    for core in (plain, beside):
        core.fit(x, y)
    beside.kernel.load_state_dict(plain.kernel.state_dict())
    assert beside.shortcut is not None
    with torch.no_grad():
        z = beside.normalizer.normalise_input(x)
        unchanged = plain.reshape.from_lattice(plain.reshape.to_lattice(z))
        expected = plain(x) + (beside.shortcut(z) - unchanged) * beside.normalizer.target_scale
        torch.testing.assert_close(beside(x), expected, rtol=1e-4, atol=1e-5)
        assert (beside.shortcut(z) - z).abs().max() > 0.1


@pytest.mark.parametrize("output_dim", [13, 21])
def test_a_core_with_a_shortcut_starts_as_the_shortcut(output_dim: int) -> None:
    x, y = rows(50, 13), rows(50, output_dim, seed=1) * 2 + 1
    core = processor(
        reshape=Projection(channels=2),
        output_dim=output_dim,
        shortcut=Shortcut(13, output_dim, 0, width=13, axes="inputs", seed=1),
    )
    core.fit(x, y)
    assert core.shortcut is not None
    with torch.no_grad():
        expected = core.normalizer.denormalise_output(core.shortcut(core.normalizer.normalise_input(x)))
        torch.testing.assert_close(core(x), expected)
