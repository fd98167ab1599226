"""What every bundled loss must stand: exact gradients, half precision, extreme and zero rows, any order of rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from core_engine import Batch

LossOf = Callable[[Tensor, Tensor, Batch], Tensor]
IDS = [0, 1, 2, 1, 3, 4, 0, 5]


def pair(scale: float = 1.0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    output, target = scale * torch.randn(
        2, len(IDS), 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    return output.to(dtype).requires_grad_(), target.to(dtype)


def test_gradient(any_loss: LossOf, make_batch: Callable[..., Batch]) -> None:
    output, target = pair(dtype=torch.float64)
    batch = make_batch(IDS)
    assert torch.autograd.gradcheck(lambda o: any_loss(o, target, batch), [output])
    assert torch.autograd.gradcheck(lambda t: any_loss(output.detach(), t, batch), [target.requires_grad_()])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(
    dtype: torch.dtype, autocast: bool, any_loss: LossOf, make_batch: Callable[..., Batch]
) -> None:
    output, target = pair(dtype=dtype)
    batch = make_batch(IDS)
    expected = any_loss(output.detach().float(), target.float(), batch)
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        half = any_loss(output, target, batch)
        full = any_loss(output.float(), target.float(), batch)
    for loss in (half, full):
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(torch.float16, 1e-4), (torch.float16, 1.5e4), (torch.bfloat16, 1e-30), (torch.bfloat16, 1e15)],
)
def test_extreme_rows_stay_finite(
    dtype: torch.dtype, scale: float, any_loss: LossOf, make_batch: Callable[..., Batch]
) -> None:
    output, target = pair(scale, dtype)
    with torch.autocast("cpu", dtype=dtype):
        loss = any_loss(output, target, make_batch(IDS))
    loss.backward()
    assert loss.isfinite()
    assert output.grad is not None
    assert output.grad.isfinite().all()


@pytest.mark.parametrize("zero", ["output", "target", "both"])
def test_zero_rows_stay_finite(zero: str, any_loss: LossOf, make_batch: Callable[..., Batch]) -> None:
    output, target = pair()
    with torch.no_grad():
        if zero != "target":
            output[2] = 0
        if zero != "output":
            target[2] = 0
    loss = any_loss(output, target, make_batch(IDS))
    loss.backward()
    assert loss.isfinite()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    if zero == "output":
        assert output.grad[2].any(), "a zero row must be able to leave zero"


def test_order_of_rows_does_not_matter(any_loss: LossOf, make_batch: Callable[..., Batch]) -> None:
    output, target = pair(dtype=torch.float64)
    order = torch.randperm(len(IDS), generator=torch.Generator().manual_seed(4))
    ids = torch.tensor(IDS)
    torch.testing.assert_close(
        any_loss(output, target, make_batch(ids)), any_loss(output[order], target[order], make_batch(ids[order]))
    )


def test_nan_is_not_hidden(any_loss: LossOf, make_batch: Callable[..., Batch]) -> None:
    output, target = pair()
    with torch.no_grad():
        output[1, 0] = torch.nan
    assert any_loss(output, target, make_batch(IDS)).isnan()


def test_learns_its_target(any_loss: LossOf, make_batch: Callable[..., Batch]) -> None:
    output, target = pair()
    ids = torch.arange(len(IDS))
    before = any_loss(output, target, make_batch(ids)).item()
    optimizer = torch.optim.Adam([output], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        any_loss(output, target, make_batch(ids)).backward()
        optimizer.step()
    assert any_loss(output, target, make_batch(ids)).item() < 0.05 * before
    assert torch.equal((output @ target.T / target.norm(dim=-1)).argmax(dim=-1), ids)
