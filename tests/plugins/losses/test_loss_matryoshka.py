from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import frozen
from distilling import a_loss, batch_with, build, normal
from torch import Tensor, nn

from core_engine import Batch, ComponentRef, Kind, LossContext
from core_engine.errors import RecipeError
from core_engine.host.registry import Provider


class Witness(nn.Module):
    """A loss with a parameter, a buffer and all further methods, which remembers what it was given."""

    calls: Tensor

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.dim = context.dim
        self.scale = nn.Parameter(torch.ones(context.dim))
        self.register_buffer("calls", torch.zeros(()))
        self.fitted: list[tuple[int, ...]] = []
        self.told: list[tuple[int, ...]] = []
        self.negatives: list[Tensor | None] = []

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls += 1
        self.negatives.append(batch.negatives)
        return (self.scale * (output - target)).square().sum(), {"rows": torch.tensor(float(len(output)))}

    def fit(self, target: Tensor, batch: Batch) -> None:
        self.fitted.append(tuple(target.shape))

    def validated(self, output: Tensor, target: Tensor, batch: Batch) -> None:
        self.told.append(tuple(output.shape))


@frozen
class Witnessed:
    """A witness."""

    def build(self, context: LossContext) -> Witness:
        return Witness(context)


def matryoshka_of_witnesses(dims: list[int]) -> tuple[Any, list[Witness]]:
    witness = ComponentRef(Kind.LOSS, "witness", Witnessed(), Provider("tests", "tests", "0"))
    loss = build("matryoshka", 8, loss=witness, dims=dims)
    return loss, [module for module in loss.modules() if isinstance(module, Witness)]


@pytest.mark.parametrize("inner", ["cosine", "mse", "info_nce", "similarity_distillation", "relational_distillation"])
def test_it_is_the_weighted_sum_over_the_first_dimensions(inner: str) -> None:
    output, target, batch = normal(6, 8, seed=0), normal(6, 8, seed=1), batch_with(6)
    loss = build("matryoshka", 8, loss=a_loss(inner), dims=[8, 4, 2], weights=[1.0, 0.5, 3.0])
    total, parts = loss(output, target, batch)
    alone = {dim: build(inner, dim)(output[:, :dim], target[:, :dim], batch) for dim in (8, 4, 2)}
    torch.testing.assert_close(total, alone[8] + 0.5 * alone[4] + 3 * alone[2], rtol=1e-12, atol=0)
    assert parts == {str(dim): value for dim, value in alone.items()}
    assert len({part.item() for part in parts.values()}) == 3


def test_weights_are_one_by_default() -> None:
    output, target, batch = normal(6, 8, seed=0), normal(6, 8, seed=1), batch_with(6)
    total, parts = build("matryoshka", 8, loss=a_loss("cosine"), dims=[3, 8])(output, target, batch)
    torch.testing.assert_close(total, parts["3"] + parts["8"])


def test_the_parts_of_the_inner_loss_are_kept_apart() -> None:
    output, target = normal(6, 8, seed=0), normal(6, 8, seed=1)
    _, parts = build("matryoshka", 8, loss=a_loss("combined"), dims=[8, 4])(output, target, batch_with(6))
    assert set(parts) == {"8", "8/cosine", "8/mse", "4", "4/cosine", "4/mse"}


def test_each_length_has_an_inner_loss_of_its_own_that_is_told_everything() -> None:
    loss, witnesses = matryoshka_of_witnesses([5, 2])
    assert [witness.dim for witness in witnesses] == [5, 2]
    negatives = normal(6, 3, 8, seed=2)
    loss.fit(normal(20, 8, seed=0), batch_with(20))
    loss(normal(6, 8, seed=0), normal(6, 8, seed=1), batch_with(6, negatives=negatives))
    loss.validated(normal(9, 8, seed=0), normal(9, 8, seed=1), batch_with(9))
    assert [(witness.fitted, witness.told) for witness in witnesses] == [
        ([(20, 5)], [(9, 5)]),
        ([(20, 2)], [(9, 2)]),
    ]
    for witness, dim in zip(witnesses, (5, 2), strict=True):
        [given] = witness.negatives
        assert given is not None
        assert torch.equal(given, negatives[..., :dim])


def test_parameters_and_state_of_the_inner_losses_are_found() -> None:
    loss, _ = matryoshka_of_witnesses([5, 2])
    assert [parameter.shape for parameter in loss.parameters()] == [(5,), (2,)]
    loss(normal(6, 8, seed=0), normal(6, 8, seed=1), batch_with(6))
    other, witnesses = matryoshka_of_witnesses([5, 2])
    other.load_state_dict(loss.state_dict())
    assert [float(witness.calls) for witness in witnesses] == [1, 1]


def test_gradient() -> None:
    loss = build("matryoshka", 8, loss=a_loss("cosine"), dims=[8, 3])
    target = normal(5, 8, seed=1)
    assert torch.autograd.gradcheck(
        lambda o: loss(o, target, batch_with(5))[0], [normal(5, 8, seed=0).requires_grad_()]
    )


def test_the_first_dimensions_learn_more_than_without() -> None:
    """The output is a trade of the first two dimensions for the others."""
    target = normal(16, 6, seed=0)
    found = []
    for dims in ([6], [6, 2]):
        loss, mixing = build("matryoshka", 6, loss=a_loss("mse"), dims=dims), torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([mixing], lr=0.1)
        for _ in range(50):
            optimizer.zero_grad()
            output = torch.cat([mixing * target[:, :2], (1 - mixing) * target[:, 2:]], dim=1)
            loss(output, target, batch_with(16))[0].backward()
            optimizer.step()
        found.append(mixing.item())
    assert found[1] > found[0] + 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": []}, "dims"),
        ({"dims": [0, 4]}, "dims"),
        ({"dims": [4, 4]}, r"each number of dimensions once, not \[4, 4\]"),
        ({"dims": [4, 2], "weights": [1.0]}, "1 weights for 2 dims"),
        ({"dims": [4, 2], "weights": [1.0, 0.0]}, "weights must be above 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("matryoshka", 8, loss=a_loss("cosine"), **options)


def test_more_dimensions_than_there_are_are_refused_at_build() -> None:
    with pytest.raises(RecipeError, match=r"dims has 16, and embeddings have 8 dimensions"):
        build("matryoshka", 8, loss=a_loss("cosine"), dims=[16, 4])
