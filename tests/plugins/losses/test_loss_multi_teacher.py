from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from core_engine_losses.alignment import Alignment, Method
from distilling import a_loss, batch_with, build, normal
from torch import Tensor, nn

from core_engine import Batch, Ramp
from core_engine.errors import RecipeError, TrainingError

RULES: list[dict[str, Any]] = [
    {"weights": "fixed"},
    {"weights": "fixed", "shares": {"primary": 2.0, "big": Ramp(1.0, 0.0), "wide": 0.5}},
    {"weights": "confidence"},
    {"weights": "confidence", "temperature": Ramp(3.0, 0.1)},
    {"weights": "adaptive"},
    {"weights": "adaptive", "temperature": 0.01, "window": 1},
]
any_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, rule.values())))

DIMS = {"big": 12, "wide": 5}


def data(rows: int, seed: int, dtype: torch.dtype = torch.float64, noise: float = 0.1) -> tuple[Tensor, Batch]:
    """Targets ``[rows, 8]``, and embeddings by two other teachers that are about linear in them."""
    target = F.normalize(normal(rows, 8, seed=seed), dim=-1)
    further = {
        name: (target @ normal(8, dim, seed=100 + i) + noise * normal(rows, dim, seed=seed + 10 + i) + 2).to(dtype)
        for i, (name, dim) in enumerate(DIMS.items())
    }
    return target.to(dtype), batch_with(rows, further=further)


def fitted(seed: int = 0, **options: Any) -> Any:
    loss = build("multi_teacher", 8, DIMS, **({"loss": a_loss("cosine")} | options))
    target, batch = data(60, seed)
    loss.fit(target, batch)
    return loss


def weights_of(parts: dict[str, Tensor]) -> list[float]:
    return [float(part) for name, part in parts.items() if name.startswith("weight/")]


def at(batch: Batch, progress: float) -> Batch:
    return batch_with(len(batch.indices), progress, target_ids=batch.target_ids, further=batch.further)


# Maps.


def relative_error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("source", "target"), [(6, 6), (9, 6), (6, 9)])
def test_ridge_recovers_a_planted_map(source: int, target: int) -> None:
    planted, rows = normal(source, target, seed=0), 50 * normal(300, source, seed=1)
    alignment = Alignment(source, target, "ridge", penalty=1e-9)
    alignment.fit(rows + 3, rows @ planted - 1)
    fresh = normal(20, source, seed=2)
    assert relative_error(alignment(fresh + 3), fresh @ planted - 1) < 1e-6
    torch.testing.assert_close(alignment.matrix.double(), planted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("source", "target"), [(6, 6), (9, 6), (6, 9)])
def test_procrustes_recovers_a_planted_turn_and_scale(source: int, target: int) -> None:
    """From more dimensions to fewer, the rows lie in a space of the fewer."""
    small = min(source, target)
    into, out = (torch.linalg.qr(normal(dim, small, seed=dim)).Q for dim in (source, target))
    core = normal(300, small, seed=1)
    alignment = Alignment(source, target, "procrustes", penalty=1.0)
    alignment.fit(core @ into.T + 3, 2.5 * core @ out.T - 1)
    fresh = normal(20, small, seed=2)
    assert relative_error(alignment(fresh @ into.T + 3), 2.5 * fresh @ out.T - 1) < 1e-6
    torch.testing.assert_close(alignment.matrix.double(), 2.5 * into @ out.T, rtol=1e-6, atol=1e-6)


def test_ridge_is_its_formula_and_does_not_depend_on_the_scale_of_the_teacher() -> None:
    rows, target = normal(40, 5, seed=0), normal(40, 3, seed=1)
    x, y = rows - rows.mean(0), target - target.mean(0)
    penalty = 0.3 * 40 * x.square().mean()
    wanted = torch.linalg.inv(x.T @ x + penalty * torch.eye(5, dtype=torch.float64)) @ x.T @ y
    for scale in (1.0, 1000.0):
        alignment = Alignment(5, 3, "ridge", penalty=0.3)
        alignment.fit(scale * rows, target)
        torch.testing.assert_close(scale * alignment.matrix.double(), wanted, rtol=1e-6, atol=1e-7)


def test_procrustes_has_orthonormal_columns_and_the_best_scale() -> None:
    rows, target = normal(40, 5, seed=0), normal(40, 3, seed=1)
    alignment = Alignment(5, 3, "procrustes", penalty=1.0)
    alignment.fit(rows, target)
    matrix = alignment.matrix.double()
    scale = matrix.norm() / math.sqrt(3)
    torch.testing.assert_close(matrix.T @ matrix, scale**2 * torch.eye(3, dtype=torch.float64), rtol=1e-6, atol=1e-6)

    def error(factor: float) -> Tensor:
        return ((rows - rows.mean(0)) @ (factor * matrix) - (target - target.mean(0))).square().sum()

    assert error(1.0) < min(error(0.99), error(1.01))


@pytest.mark.parametrize("method", ["ridge", "procrustes"])
def test_rows_that_are_all_one_map_to_the_mean_of_the_targets(method: Method) -> None:
    alignment, target = Alignment(5, 3, method, penalty=0.1), normal(7, 3, seed=1)
    alignment.fit(torch.ones(7, 5), target)
    torch.testing.assert_close(alignment(torch.ones(1, 5))[0].double(), target.mean(0), rtol=1e-5, atol=1e-6)


def test_a_map_in_blocks_is_that_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, target = normal(50, 5, seed=0), normal(50, 3, seed=1)
    whole, blocks = Alignment(5, 3, "ridge", 0.1), Alignment(5, 3, "ridge", 0.1)
    whole.fit(rows, target)
    monkeypatch.setattr("core_engine_losses.alignment._ROWS_AT_ONCE", 7)
    blocks.fit(rows, target)
    torch.testing.assert_close(blocks.matrix, whole.matrix)


def test_a_map_that_was_never_fitted_is_not_used_unseen() -> None:
    loss = build("multi_teacher", 8, DIMS, loss=a_loss("cosine"))
    target, batch = data(6, 1)
    assert loss(target, target, batch)[0].isnan()


# The sum.


@pytest.mark.parametrize("inner", ["cosine", "mse", "info_nce"])
@pytest.mark.parametrize("alignment", ["ridge", "procrustes"])
def test_it_is_the_weighted_sum_of_the_inner_losses(inner: str, alignment: Method) -> None:
    loss = fitted(loss=a_loss(inner), alignment=alignment, shares={"primary": 1.0, "big": 2.0, "wide": 5.0})
    target, batch = data(10, 1)
    output = normal(10, 8, seed=2)
    total, parts = loss(output, target, batch)
    one = build(inner, 8)
    train, trained = data(60, 0)
    wanted = [one(output, target, batch)]
    for name, dim in DIMS.items():
        map_ = Alignment(dim, 8, alignment, penalty=0.01)
        map_.fit(trained.further[name], train)
        wanted.append(one(output, map_(batch.further[name]), batch))
    torch.testing.assert_close(total, (wanted[0] + 2 * wanted[1] + 5 * wanted[2]) / 8, rtol=1e-6, atol=0)
    assert [parts[name].item() for name in ("primary", "big", "wide")] == pytest.approx([w.item() for w in wanted])
    assert not any(part.requires_grad for part in parts.values())


@any_rule
def test_weights_sum_to_one_each_time(rule: dict[str, Any]) -> None:
    loss = fitted(**rule)
    for step, seed in enumerate(range(1, 8)):
        target, batch = data(12, seed, torch.float32)
        _, parts = loss(normal(12, 8, seed=seed, dtype=torch.float32), target, at(batch, step / 6))
        assert math.fsum(weights_of(parts)) == pytest.approx(1, abs=1e-6)
        assert list(parts)[::2] == ["weight/primary", "weight/big", "weight/wide"]
        loss.validated(normal(12, 8, seed=seed, dtype=torch.float32), target, batch)


@any_rule
def test_gradient(rule: dict[str, Any]) -> None:
    loss, (target, batch) = fitted(**rule), data(6, 1)
    output = normal(6, 8, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda o: loss(o, target, batch)[0], [output])


@any_rule
@pytest.mark.parametrize(
    ("dtype", "scale"), [(torch.float16, 1e-4), (torch.float16, 1e4), (torch.bfloat16, 1e-30), (torch.bfloat16, 1e15)]
)
def test_extreme_rows_stay_finite(rule: dict[str, Any], dtype: torch.dtype, scale: float) -> None:
    loss, (target, batch) = fitted(**rule), data(8, 1)
    output = (scale * normal(8, 8, seed=2)).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        total, parts = loss(output, target.to(dtype), batch)
        loss.validated(output, target.to(dtype), batch)
    total.backward()
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    assert math.fsum(weights_of(parts)) == pytest.approx(1, abs=1e-6)


def test_half_precision_is_computed_in_float32() -> None:
    loss, (target, batch) = fitted(weights="confidence"), data(8, 1, torch.float32)
    output = normal(8, 8, seed=2, dtype=torch.float32)
    expected, wanted = loss(output, target, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, parts = loss(output, target, batch)
    torch.testing.assert_close(found, expected)
    assert weights_of(parts) == weights_of(wanted)


@pytest.mark.parametrize("alignment", ["ridge", "procrustes"])
@any_rule
def test_two_teachers_of_384_and_768_dimensions_distil_into_one_small_core(
    rule: dict[str, Any], alignment: Method
) -> None:
    rule = {key: value for key, value in rule.items() if key != "shares"}
    texts = normal(64, 10, seed=0, dtype=torch.float32)
    target = F.normalize(texts @ normal(10, 384, seed=1, dtype=torch.float32), dim=-1)
    big = 20 * (texts @ normal(10, 768, seed=2, dtype=torch.float32)).tanh()
    loss = build("multi_teacher", 384, {"big": 768}, loss=a_loss("cosine"), alignment=alignment, **rule)
    core = nn.Linear(10, 384)
    with torch.no_grad():
        core.weight.copy_(0.1 * normal(384, 10, seed=3))
    loss.fit(target, batch_with(64, further={"big": big}))
    optimizer = torch.optim.Adam(core.parameters(), lr=0.02)
    first = last = torch.tensor(torch.nan)
    for step in range(60):
        optimizer.zero_grad()
        last, parts = loss(core(texts), target, batch_with(64, step / 59, further={"big": big}))
        last.backward()
        optimizer.step()
        first = last.detach() if step == 0 else first
        assert math.fsum(weights_of(parts)) == pytest.approx(1, abs=1e-6)
        if step % 20 == 19:
            loss.validated(core(texts), target, batch_with(64, further={"big": big}))
    assert last < 0.3 * first
    assert max(parts["primary"], parts["big"]) < 0.3


# Weights.


def test_fixed_shares_are_equal_by_default_and_follow_their_ramps() -> None:
    (target, batch), output = data(6, 1), normal(6, 8, seed=2)
    assert weights_of(fitted()(output, target, batch)[1]) == pytest.approx([1 / 3] * 3)
    loss = fitted(shares={"big": Ramp(1.0, 0.0, until=0.5), "wide": 2.0})
    found = [weights_of(loss(output, target, at(batch, progress))[1]) for progress in (0.0, 0.25, 0.5, 1.0)]
    assert found[0] == pytest.approx([0.25, 0.25, 0.5])
    assert found[1] == pytest.approx([1 / 3.5, 0.5 / 3.5, 2 / 3.5])
    for late in found[2:]:
        assert late == pytest.approx([1 / 3, 0, 2 / 3])
        assert late[1] == 0


def test_a_teacher_whose_share_has_gone_to_0_no_longer_counts() -> None:
    loss = fitted(shares={"wide": Ramp(1.0, 0.0)})
    (target, batch), output = data(6, 1), normal(6, 8, seed=2)
    other = at(batch, 1.0)
    changed = batch_with(6, 1.0, further={**batch.further, "wide": -batch.further["wide"]})
    assert loss(output, target, other)[0] == loss(output, target, changed)[0]
    assert loss(output, target, batch)[0] != loss(output, target, at(changed, 0.0))[0]


def test_confidence_is_its_formula() -> None:
    """Rows 0 and 2 have one target, which is not to be told from itself."""
    loss = fitted(weights="confidence", temperature=0.7)
    target, batch = data(4, 1)
    ids = torch.tensor([0, 1, 0, 2, 3])
    target = target[ids]
    batch = batch_with(5, target_ids=ids, further={name: rows[ids] for name, rows in batch.further.items()})
    _, parts = loss(target, target, batch)
    aligned = [target, *(loss.alignments[i](batch.further[name]) for i, name in enumerate(DIMS))]
    wanted = torch.zeros(3, dtype=torch.float64)
    for i in range(5):
        others = [j for j in range(5) if j == i or batch.target_ids[j] != batch.target_ids[i]]
        scores = []
        for rows in aligned:
            exps = {j: math.exp(20 * F.cosine_similarity(rows[i], target[j], dim=0).item()) for j in others}
            scores.append(exps[i] / math.fsum(exps.values()))
        powers = [score ** (1 / 0.7) for score in scores]
        wanted += torch.tensor([power / math.fsum(powers) for power in powers]) / 5
    assert weights_of(parts) == pytest.approx(wanted.tolist(), rel=1e-6)


def test_a_teacher_that_cannot_tell_texts_apart_has_little_confidence() -> None:
    loss, (target, batch) = fitted(weights="confidence"), data(20, 1)
    noise = batch_with(20, further={"big": normal(20, 12, seed=3), "wide": batch.further["wide"]})
    honest, deaf = (weights_of(loss(target, target, given)[1]) for given in (batch, noise))
    assert deaf[1] < 0.5 * honest[1]
    assert deaf[1] < min(deaf[0], deaf[2])


def test_adaptive_weights_are_equal_at_first_and_then_those_of_the_window() -> None:
    loss = fitted(weights="adaptive", window=2, temperature=0.2)
    (target, batch), (held_out, held) = data(6, 1), data(9, 2)
    aligned = [held_out, *(loss.alignments[i](held.further[name]) for i, name in enumerate(DIMS))]
    assert weights_of(loss(target, target, batch)[1]) == pytest.approx([1 / 3] * 3)
    scores: list[list[float]] = []
    for output in (held_out, -held_out, aligned[1], normal(9, 8, seed=4)):
        loss.validated(output, held_out, held)
        scores.append([F.cosine_similarity(output, rows, dim=-1).mean().item() for rows in aligned])
        means = torch.tensor(scores[-2:]).mean(0)
        wanted = (means / 0.2).softmax(0).tolist()
        assert weights_of(loss(target, target, batch)[1]) == pytest.approx(wanted, rel=1e-5)
    assert max(wanted) > 0.34


def test_a_teacher_below_the_threshold_is_dropped_for_good_and_the_rest_share_its_weight() -> None:
    loss = fitted(shares={"big": Ramp(1.0, 0.0, until=0.5), "wide": 2.0}, drop_below=0.1)
    (target, batch), output = data(6, 1), normal(6, 8, seed=2)
    for progress, wanted in ((0.0, [0.25, 0.25, 0.5]), (0.4, [1 / 3, 0, 2 / 3]), (0.0, [1 / 3, 0, 2 / 3])):
        total, parts = loss(output, target, at(batch, progress))
        assert weights_of(parts) == pytest.approx(wanted)
    assert total.item() == pytest.approx((parts["primary"] + 2 * parts["wide"]).item() / 3)


@any_rule
def test_the_last_teacher_is_never_dropped(rule: dict[str, Any]) -> None:
    loss, (target, batch) = fitted(**rule, drop_below=0.999), data(6, 1)
    for step in range(4):
        loss.validated(target, target, batch)
        total, parts = loss(normal(6, 8, seed=step), target, at(batch, step / 3))
        assert total.isfinite()
        assert math.fsum(weights_of(parts)) == pytest.approx(1, abs=1e-6)
    assert not loss.weights.dropped.all()


def test_the_last_teacher_stays_where_its_share_goes_to_0() -> None:
    """``wide`` starts too low and is out before it could take over."""
    shares = {"primary": 0.0, "big": Ramp(1.0, 0.0), "wide": Ramp(0.0, 1.0)}
    loss, (target, batch) = fitted(shares=shares, drop_below=0.05), data(6, 1)
    for progress in (0.0, 0.5, 1.0):
        assert weights_of(loss(target, target, at(batch, progress))[1]) == [0, 1, 0]


def test_held_out_rows_are_weighed_alike_and_change_nothing() -> None:
    loss = fitted(shares={"big": Ramp(1.0, 0.0)}, drop_below=0.2)
    (target, batch), output = data(6, 1), normal(6, 8, seed=2)
    loss.eval()
    assert weights_of(loss(output, target, at(batch, 0.9))[1]) == pytest.approx([0.5, 0, 0.5])
    assert not loss.weights.dropped.any()
    loss.train()
    assert weights_of(loss(output, target, batch)[1]) == pytest.approx([1 / 3] * 3)


# State.


@any_rule
def test_a_resumed_run_goes_on_as_the_first_would_have(rule: dict[str, Any]) -> None:
    """It is fitted, on other rows here, and then given the state."""
    loss, resumed = fitted(**rule, drop_below=0.1), fitted(seed=5, **rule, drop_below=0.1)
    target, batch = data(6, 1)
    loss(target, target, at(batch, 0.9))
    loss.validated(-target, target, batch)
    resumed.load_state_dict(loss.state_dict())
    for seed, progress in itertools.product((2, 3), (0.9, 1.0)):
        output = normal(6, 8, seed=seed)
        (one, parts), (two, others) = (each(output, target, at(batch, progress)) for each in (loss, resumed))
        assert torch.equal(one, two)
        assert parts == others
        for each in (loss, resumed):
            each.validated(output, target, batch)


def test_the_inner_losses_see_their_own_targets() -> None:
    """Nested, since a multi_teacher is itself a loss that is fitted and keeps state."""
    loss = fitted(loss=a_loss("multi_teacher", loss=a_loss("cosine"), weights="adaptive"))
    target, batch = data(6, 1)
    loss.validated(target, target, batch)
    scores = [inner.loss.weights.rule.scores for inner in loss.inner]
    assert all(score[0].all() for score in scores)
    assert not torch.equal(scores[0], scores[1])
    assert loss(target, target, batch)[0].isfinite()
    assert {"primary/weight/big", "wide/weight/primary"} <= set(loss(target, target, batch)[1])


# Mistakes.


@pytest.mark.parametrize("method", ["fit", "__call__", "validated"])
def test_a_batch_without_a_teacher_is_refused(method: str) -> None:
    loss, (target, _) = fitted(), data(6, 1)
    arguments = [target, target, batch_with(6)] if method != "fit" else [target, batch_with(6)]
    with pytest.raises(TrainingError, match="teacher 'big': the run's teacher is not a 'multi'"):
        getattr(loss, method)(*arguments)


@pytest.mark.parametrize(
    ("further", "options", "message"),
    [
        ({}, {}, "the run's teacher is not a 'multi', so there is only one"),
        ({"primary": 4}, {}, "rename"),
        (DIMS, {"shares": {"bgi": 1.0}}, "shares names bgi; teachers: primary, big, wide"),
        (DIMS, {"shares": {"primary": 0.0, "big": 0.0, "wide": 0.0}}, "all shares are 0 when 0 of"),
        (
            DIMS,
            {"shares": {"primary": 0.0, "big": Ramp(1.0, 0.0, until=0.4), "wide": Ramp(0.0, 1.0, begin=0.5)}},
            "all shares are 0 when 0.4 of",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_build(further: dict[str, int], options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build("multi_teacher", 8, further, loss=a_loss("cosine"), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "equal"}, "weights"),
        ({"alignment": "linear"}, "alignment"),
        ({"penalty": 0.0}, "penalty"),
        ({"window": 0}, "window"),
        ({"drop_below": 1.0}, "drop_below"),
        ({"shares": {"big": -1.0}}, "share"),
        ({"shares": {"big": Ramp(1.0, math.inf)}}, "share"),
        ({"weights": "adaptive", "shares": {"big": 1.0}}, "shares have no effect with weights: adaptive"),
        ({"weights": "confidence", "temperature": 0.0}, "temperature"),
        ({"temperature": 0.5}, "temperature has no effect with weights: fixed"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("multi_teacher", 8, DIMS, loss=a_loss("cosine"), **options)
