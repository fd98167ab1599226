"""Parameters as the kernels take them, and gradients back."""

from __future__ import annotations

import torch
from core_engine_kernels.fused_cuda.packing import pack, pack_drive, unpack_gradients
from core_engine_kernels.stencil.spec import CellSpec

SIZE = (2, 1, 3)
SPEC = CellSpec(16, 3, 64, update="gated")


def parameters(spec: CellSpec) -> list[torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    # Small integers are exact in bf16.
    return [torch.randint(-9, 10, shape, generator=source).float() for shape in spec.parameter_shapes(SIZE).values()]


def test_the_drive_carries_a_one_for_the_bias() -> None:
    drive = torch.arange(2 * 6 * 3).reshape(2, *SIZE, 3).float()
    packed = pack_drive(SPEC, drive)
    assert packed.shape == (12, 16)
    assert torch.equal(packed[:, :3].float(), drive.reshape(12, 3))
    assert bool((packed[:, 3] == 1).all())
    assert not packed[:, 4:].any()


def test_the_hidden_layer_of_packed_parameters() -> None:
    named = dict(zip(SPEC.parameter_shapes(SIZE), parameters(SPEC), strict=True))
    packed = pack(SPEC, SIZE, list(named.values()))
    states, drive = torch.randn(5, 7, 16).double(), torch.randn(5, 1, 1, 1, 3).bfloat16()
    together = torch.cat([states.flatten(1), pack_drive(SPEC, drive).double()], dim=1)
    wanted = torch.einsum("hkc,bkc->bh", named["state_weight"].double(), states)
    wanted += drive.reshape(5, 3).double() @ named["drive_weight"].double().t() + named["hidden_bias"].double()
    assert torch.allclose(together @ packed.input_weight.double().t(), wanted)
    assert torch.equal(packed.output_weight.float(), torch.cat([named["update_weight"], named["gate_weight"]]))


def test_gradients_unpack_to_where_parameters_were_packed_from() -> None:
    given = parameters(SPEC)
    packed = pack(SPEC, SIZE, given)
    assert packed.position is not None
    weight = torch.cat([packed.input_weight.float(), packed.output_weight.float().t()], dim=1)
    halves = [value / 2 for value in (weight, packed.output_bias, packed.position.float())]
    restored = unpack_gradients(
        SPEC, SIZE, torch.stack([halves[0]] * 2), halves[1].expand(2, 1, -1), torch.stack([halves[2]] * 2)
    )
    assert all(torch.equal(*pair) for pair in zip(given, restored, strict=True))


def test_a_lane_finds_its_hidden_units_side_by_side() -> None:
    spec = CellSpec(16, 0, 32)
    values = dict(zip(spec.parameter_shapes(SIZE), parameters(spec), strict=True))
    values["position"] = torch.arange(32).float().expand(*SIZE, 32)
    packed = pack(spec, SIZE, list(values.values()))
    assert packed.position is not None
    # Lane q of four holds columns 2 q and 2 q + 1 of each tile of eight.
    assert packed.position[0, 8:16].tolist() == [2, 3, 10, 11, 18, 19, 26, 27]
