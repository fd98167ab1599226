from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from core_engine_kernels.stencil.op import rollout, stencil_rollout
from core_engine_kernels.stencil.spec import CellSpec, spec_from_text
from fused_cpu_cases import Case
from torch import Tensor

from core_engine.errors import EngineError

SPEC = CellSpec(8, 2, 32, update="gated", boundary="periodic", state_noise=0.1)
SPECS = [
    SPEC,
    CellSpec(64, 7, 128, "silu", position=False, state_noise=1e-7),
    CellSpec(8, 2, 32, dropout=0.1, update_probability=1e-3),
]


def case() -> Case:
    drawn = Case.drawn(SPEC, (2, 3, 4), 3, 3)
    for leaf in (drawn.state, drawn.drive, *drawn.values):
        leaf.requires_grad_()
    return drawn


def run(case: Case, values: Sequence[Tensor] | None = None, memory: int | None = None) -> Tensor:
    parameters = dict(zip(case.parameters, values or case.values, strict=True))
    return rollout(case.spec, parameters, case.state, case.drive, case.steps, 5, case.sample_ids, memory)


def gradients(case: Case, final: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(final, [case.state, case.drive, *case.values], case.cotangent)


@pytest.mark.parametrize("spec", SPECS)
def test_spec_survives_being_text(spec: CellSpec) -> None:
    assert spec_from_text(spec.text) == spec


@pytest.mark.parametrize("every", [1, 2])
def test_operator_is_what_pytorch_asks_of_one(every: int) -> None:
    drawn = case()
    arguments = (drawn.state, drawn.drive, drawn.values, drawn.sample_ids, SPEC.text, 3, 2**62 + 1, every, True)
    torch.library.opcheck(torch.ops.core_engine.stencil_rollout.default, arguments)


def test_compiles_without_graph_breaks() -> None:
    drawn = case()
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")  # needs no C++ compiler
    for memory in (None, 2):
        eager, traced = run(drawn, memory=memory), compiled(drawn, memory=memory)
        assert torch.equal(eager, traced)
        for a, b in zip(gradients(drawn, eager), gradients(drawn, traced), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(("memory", "kept"), [(None, 2), (1, 2), (2, 1), (3, 0), (9, 0)])
def test_keeps_the_states_it_is_asked_to(memory: int | None, kept: int) -> None:
    drawn = case()
    sizes: list[torch.Size] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        final = run(drawn, memory=memory)
    assert [size for size in sizes if len(size) == 6] == [(kept, *drawn.state.shape)]
    assert all(torch.equal(a, b) for a, b in zip(gradients(drawn, final), gradients(drawn, run(drawn)), strict=True))


def test_keeps_nothing_where_no_gradient_is_asked_for() -> None:
    drawn = case()
    arguments = (drawn.drive, drawn.values, drawn.sample_ids, SPEC.text, 3, 5, 1)
    with torch.no_grad():
        final, states = stencil_rollout(drawn.state, *arguments, False)
        assert len(states) == 0
        assert torch.equal(final, run(drawn))


def test_gradients_of_some_leaves_only() -> None:
    drawn = case()
    everything = gradients(drawn, run(drawn))
    for leaf in (drawn.drive, *drawn.values):
        leaf.requires_grad_(False)
    (alone,) = torch.autograd.grad(run(drawn), [drawn.state], drawn.cotangent)
    assert torch.equal(alone, everything[0])


def transposed(tensor: Tensor, first: int, second: int) -> Tensor:
    """The same values, in memory in another order."""
    return tensor.detach().transpose(first, second).contiguous().transpose(first, second)


def test_strides_do_not_matter() -> None:
    drawn = case()
    plain = run(drawn)
    parameters = {n: transposed(v, 0, 1) if v.dim() == 2 else v.detach() for n, v in drawn.parameters.items()}
    state, drive = transposed(drawn.state, 1, 3), transposed(drawn.drive, 0, 4)
    ids = drawn.sample_ids.repeat_interleave(2)[::2]
    assert not any(tensor.is_contiguous() for tensor in (state, drive, ids, parameters["update_weight"]))
    assert torch.equal(rollout(SPEC, parameters, state, drive, 3, 5, ids, None), plain)
    cotangent = transposed(drawn.cotangent, 1, 3)
    assert torch.equal(torch.autograd.grad(plain, drawn.state, cotangent)[0], gradients(drawn, run(drawn))[0])


def test_no_samples_and_no_steps() -> None:
    drawn = case()
    arguments = (drawn.parameters, drawn.state[:0], drawn.drive[:0], 3, 5, drawn.sample_ids[:0], None)
    empty = rollout(SPEC, *arguments)
    assert empty.shape == (0, 2, 3, 4, 8)
    empty.sum().backward()
    assert all((value.grad == 0).all() for value in drawn.values)
    same = rollout(SPEC, drawn.parameters, drawn.state, drawn.drive, 0, 5, drawn.sample_ids, None)
    assert torch.equal(same, drawn.state)
    assert same.data_ptr() != drawn.state.data_ptr()


def test_autocast_changes_nothing() -> None:
    drawn = case()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = run(drawn)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, run(drawn))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_are_an_error_and_not_a_detour(dtype: torch.dtype) -> None:
    drawn = case()
    with pytest.raises(EngineError, match=rf"float32 on the CPU and was given {dtype}.*use 'reference'"):
        rollout(SPEC, drawn.parameters, drawn.state.to(dtype), drawn.drive, 3, 5, drawn.sample_ids, None)


def test_parameters_of_another_cell_are_an_error() -> None:
    drawn = case()
    drawn.parameters["update_weight"] = torch.zeros(8, 64)
    with pytest.raises(EngineError, match=r"parameters are .*this cell has"):
        run(drawn)


def test_sample_ids_must_fit() -> None:
    drawn = case()
    with pytest.raises(EngineError, match=r"sample_ids must be int64 \[3\]"):
        rollout(SPEC, drawn.parameters, drawn.state, drawn.drive, 3, 5, torch.arange(2), None)


@pytest.mark.parametrize("part", ["one sample", "one plane", "one channel"])
def test_a_drive_of_another_shape_is_an_error(part: str) -> None:
    drawn = case()
    drive = {"one sample": drawn.drive[:1], "one plane": drawn.drive[:, :1], "one channel": drawn.drive[..., :1]}[part]
    with pytest.raises(EngineError, match=r"drive is .* this cell takes \[3, 2, 3, 4, 2\]"):
        rollout(SPEC, drawn.parameters, drawn.state, drive, 3, 5, drawn.sample_ids, None)


def test_a_state_of_another_cell_is_an_error() -> None:
    drawn = case()
    with pytest.raises(EngineError, match=r"this cell takes \[B, X, Y, Z, 8\]"):
        rollout(SPEC, drawn.parameters, drawn.state.repeat(1, 1, 1, 1, 2), drawn.drive, 3, 5, drawn.sample_ids, None)


def test_a_cell_there_is_no_code_for_is_an_error() -> None:
    drawn = Case.drawn(CellSpec(12, 2, 32), (2, 2, 2), 1, 1)
    with pytest.raises(EngineError, match="12 channels: it computes 8, 16, 32 or 64"):
        run(drawn)


@pytest.mark.parametrize(("steps", "every"), [(3, 0), (-1, 1)])
def test_numbers_of_steps_are_checked(steps: int, every: int) -> None:
    drawn = case()
    with pytest.raises(EngineError, match="must be 1 or more"):
        stencil_rollout(drawn.state, drawn.drive, drawn.values, drawn.sample_ids, SPEC.text, steps, 5, every, True)


def test_no_gradients_without_the_states() -> None:
    drawn = case()
    final, _ = stencil_rollout(drawn.state, drawn.drive, drawn.values, drawn.sample_ids, SPEC.text, 3, 5, 1, False)
    with pytest.raises(EngineError, match=r"needs float32 \[2, 3, 2, 3, 4, 8\].*keep=True"):
        gradients(drawn, final)


@pytest.mark.parametrize("default", ["dtype", "device"])
def test_torch_defaults_do_not_matter(default: str) -> None:
    drawn = case()
    plain = run(drawn)
    wanted = (plain, *gradients(drawn, plain))
    dtype = torch.get_default_dtype()
    try:
        if default == "dtype":
            torch.set_default_dtype(torch.float64)
        with torch.device("meta" if default == "device" else "cpu"):
            final = run(drawn)
            found = (final, *gradients(drawn, final))
    finally:
        torch.set_default_dtype(dtype)
    for a, b in zip(found, wanted, strict=True):
        assert (a.dtype, a.device.type) == (torch.float32, "cpu")
        assert torch.equal(a, b)


def test_second_derivatives_are_refused() -> None:
    drawn = case()
    (first,) = torch.autograd.grad(run(drawn).sum(), [drawn.state], create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        torch.autograd.grad(first.sum(), [drawn.state])
