"""What the library computes from embeddings is what it computes here."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import core_engine_sentence_transformers
import pytest
import torch
from core_engine_losses.config import InfoNCE
from core_engine_sentence_transformers import SentenceTransformers, runtime
from core_engine_sentence_transformers.config import WORKING
from torch import Tensor

from core_engine import Batch, LossContext
from core_engine.errors import PluginError, RecipeError

library = pytest.importorskip("sentence_transformers.sentence_transformer.losses")

CONTEXT = LossContext(dim=8, seed=0)
SYMMETRIC = {"directions": ["query_to_doc", "doc_to_query"], "partition_mode": "per_direction"}


def build(loss: str, **options: Any) -> Any:
    return SentenceTransformers(loss=loss, options=options).build(CONTEXT)


def pair(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Batch]:
    generator = torch.Generator().manual_seed(0)
    output, target = torch.randn(2, 6, 8, generator=generator, dtype=torch.float64).to(dtype)
    ids = torch.arange(6)
    return output, target, Batch(indices=ids, inputs=output, target_ids=ids, group_ids=ids, epoch=0)


def test_the_plugin_has_one_loss() -> None:
    [component] = core_engine_sentence_transformers.losses()
    assert (component.name, component.config) == ("sentence_transformers", SentenceTransformers)


@pytest.mark.parametrize("options", [{}, {"scale": 7.5}, SYMMETRIC, {"hardness_mode": None}], ids=str)
def test_multiple_negatives_ranking_is_the_librarys(options: dict[str, Any]) -> None:
    output, target, batch = pair()
    wanted = library.MultipleNegativesRankingLoss(None, **options).compute_loss_from_embeddings([output, target], None)
    assert torch.equal(build("MultipleNegativesRankingLoss", **options)(output, target, batch)[0], wanted)


@pytest.mark.parametrize(("options", "symmetric"), [({}, False), (SYMMETRIC, True)])
def test_multiple_negatives_ranking_is_our_info_nce(options: dict[str, Any], symmetric: bool) -> None:
    output, target, batch = pair()
    for scale in (20.0, 5.0):
        found = build("MultipleNegativesRankingLoss", scale=scale, **options)(output, target, batch)[0]
        ours = InfoNCE(temperature=1 / scale, symmetric=symmetric).build(CONTEXT)(output, target, batch)
        torch.testing.assert_close(found, ours, rtol=1e-9, atol=0)


def test_the_margin_of_the_hardest_negative_is_its_formula() -> None:
    output, target, batch = pair()
    cosines = torch.nn.functional.cosine_similarity(output[:, None], target[None], dim=-1)
    hardest = (cosines - 9 * torch.eye(6)).amax(1)
    wanted = ((0.9 - cosines.diagonal()).relu() + (hardest - 0.1).relu()).mean()
    found, _ = build("MegaBatchMarginLoss", positive_margin=0.9, negative_margin=0.1)(output, target, batch)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("metric", ["mse", "cosine", "l2"])
def test_embedding_distillation_is_the_distance_to_the_target(metric: str) -> None:
    output, target, batch = pair()
    wanted = {
        "mse": (output - target).square().mean(),
        "cosine": 1 - torch.nn.functional.cosine_similarity(output, target).mean(),
        "l2": (output - target).norm(dim=-1).mean(),
    }[metric]
    torch.testing.assert_close(build("EmbedDistillLoss", distance_metric=metric)(output, target, batch)[0], wanted)


def test_a_loss_of_several_terms_is_their_sum_and_names_them() -> None:
    output, target, batch = pair()
    total, parts = build("GlobalOrthogonalRegularizationLoss", mean_weight=2.0)(output, target, batch)
    terms = library.GlobalOrthogonalRegularizationLoss(None, mean_weight=2.0).compute_loss_from_embeddings([output])
    assert parts == terms
    torch.testing.assert_close(total, sum(terms.values()))


@pytest.mark.parametrize("loss", WORKING)
def test_gradient(loss: str) -> None:
    output, target, batch = pair()
    made = build(loss)
    assert torch.autograd.gradcheck(lambda o: made(o, target, batch)[0], [output.requires_grad_()])


@pytest.mark.parametrize("loss", WORKING)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
def test_half_precision_is_computed_in_float32_and_stays_finite(loss: str, scale: float) -> None:
    output, target, batch = pair()
    output = (scale * output).to(torch.bfloat16).requires_grad_()
    target = (scale * target).to(torch.bfloat16)
    made = build(loss)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, parts = made(output, target, batch)
    torch.testing.assert_close(found, made(output.float(), target.float(), batch)[0])
    assert found.dtype == torch.float32
    assert found.isfinite()
    assert not any(part.requires_grad for part in parts.values())
    found.backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()


@pytest.mark.parametrize("loss", ["CoSENTLoss", "TripletLoss", "CachedMultipleNegativesRankingLoss", "NoSuchLoss"])
def test_a_loss_that_needs_more_is_refused_with_those_that_work(loss: str) -> None:
    with pytest.raises(ValueError, match=f"{loss} is unknown, or needs labels.*these work: {', '.join(WORKING)}"):
        SentenceTransformers(loss=loss)


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        ("MultipleNegativesRankingLoss", {"scael": 20.0}, "scael"),
        ("MultipleNegativesRankingLoss", {"scale": -1.0}, "Scale must be a positive value"),
        ("MultipleNegativesRankingLoss", {"similarity_fct": "dot"}, "not callable"),
        ("EmbedDistillLoss", {"projection_dim": 4}, "projection_dim"),
    ],
)
def test_bad_options_are_refused_at_build(loss: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=f"{loss} cannot be used with options.*{message}"):
        build(loss, **options)


def test_without_the_library_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SentenceTransformers(loss="MultipleNegativesRankingLoss")
    assert list(config.check()) == []
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    [(option, problem)] = config.check()
    assert option == "type"
    assert 'pip install "core-engine[sentence-transformers]"' in problem
    with pytest.raises(PluginError, match="sentence-transformers is not installed: pip install"):
        config.build(CONTEXT)


def test_an_old_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(runtime, "import_module", absent)
    with pytest.raises(PluginError, match=r"sentence-transformers \d.* is too old.*pip install --upgrade"):
        build("MultipleNegativesRankingLoss")


def test_importing_the_plugin_imports_neither_torch_nor_the_library() -> None:
    code = (
        "import sys, core_engine_sentence_transformers as plugin; plugin.losses(); "
        "sys.exit('torch' in sys.modules or 'sentence_transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
