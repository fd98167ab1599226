from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core_engine.core.normalizer import Normalizer
from core_engine.errors import DataError


def rows(n: int, dim: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=source, dtype=torch.float64) * torch.arange(1, dim + 1) + 3


def fitted(centre: bool = True) -> tuple[Normalizer, Tensor, Tensor]:
    inputs, targets = rows(40, 5, seed=0), rows(40, 7, seed=1) / 100
    normalizer = Normalizer(5, 7).double()
    normalizer.fit(inputs, targets, centre=centre)
    return normalizer, inputs, targets


def test_training_rows_have_mean_zero_and_rms_one() -> None:
    normalizer, inputs, targets = fitted()
    for z in (normalizer.normalise_input(inputs), normalizer.normalise_target(targets)):
        torch.testing.assert_close(z.mean(0), torch.zeros_like(z[0]))
        assert z.square().mean().item() == pytest.approx(1)


def test_angles_between_centred_rows_are_kept() -> None:
    normalizer, inputs, _ = fitted()
    centred = inputs - inputs.mean(0)
    z = normalizer.normalise_input(inputs)
    torch.testing.assert_close(
        torch.cosine_similarity(z[:-1], z[1:]), torch.cosine_similarity(centred[:-1], centred[1:])
    )


def test_output_is_the_inverse_of_the_targets_normalisation() -> None:
    normalizer, _, targets = fitted()
    torch.testing.assert_close(normalizer.denormalise_output(normalizer.normalise_target(targets)), targets)


def test_without_centring_means_stay_zero_and_rms_is_one() -> None:
    normalizer, inputs, _ = fitted(centre=False)
    assert not normalizer.input_mean.any()
    assert not normalizer.target_mean.any()
    assert normalizer.normalise_input(inputs).square().mean().item() == pytest.approx(1)


def test_it_does_nothing_before_it_is_fitted() -> None:
    normalizer, x = Normalizer(5, 5), rows(3, 5, seed=2).float()
    assert torch.equal(normalizer.normalise_input(x), x)
    assert torch.equal(normalizer.denormalise_output(x), x)


def test_half_precision_and_float64_rows_come_out_in_the_modules_dtype() -> None:
    normalizer, inputs, _ = fitted()
    normalizer = normalizer.float()
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert normalizer.normalise_input(inputs.to(dtype)).dtype == torch.float32
    assert normalizer.denormalise_output(torch.zeros(2, 7, dtype=torch.bfloat16)).dtype == torch.float32


def test_many_rows_are_fitted_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, inputs, targets = fitted()
    monkeypatch.setattr("core_engine.memory.tables.BLOCK", 7)
    blocks = Normalizer(5, 7).double()
    blocks.fit(inputs, targets)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(blocks.state_dict()[name], value)


@pytest.mark.parametrize("side", ["input", "target"])
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda x: x[:0], "no {side} embeddings"),
        (lambda x: x[:1], "all 1 {side} embeddings .* equal"),
        (lambda x: x[3].repeat(40, 1), "all 40 {side} embeddings .* equal"),
        (lambda x: x[:, :4], r"{side} embeddings are \[40, 4\]; the core needs \[n, .\]"),
        (lambda x: x.index_fill(0, torch.tensor([17]), float("nan")), "{side} .* row 17 .*NaN"),
        (lambda x: x.index_fill(0, torch.tensor([5]), float("inf")), "{side} .* row 5 .*infinity"),
    ],
)
def test_data_that_cannot_be_fitted(spoil: object, says: str, side: str) -> None:
    sides = {"input": rows(40, 5, seed=0), "target": rows(40, 7, seed=1)}
    sides[side] = spoil(sides[side])  # type: ignore[operator]
    normalizer = Normalizer(5, 7)
    with pytest.raises(DataError, match=says.format(side=side)):
        normalizer.fit(sides["input"], sides["target"])
    assert not normalizer.input_mean.any(), "nothing half-fitted"


def test_equal_rows_are_found_in_float32_in_spite_of_rounding() -> None:
    constant = torch.full((1000, 5), 0.1) * torch.tensor([1.0, 3.0, 7.0, 11.0, 13.0])
    with pytest.raises(DataError, match="equal"):
        Normalizer(5, 5).fit(constant, torch.randn(1000, 5, generator=torch.Generator().manual_seed(0)))


def test_all_zero_rows_without_centring() -> None:
    with pytest.raises(DataError, match="zero"):
        Normalizer(5, 5).fit(torch.zeros(4, 5), torch.ones(4, 5), centre=False)
