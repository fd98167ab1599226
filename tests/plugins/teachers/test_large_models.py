"""Options for models that do not fit on one device, with and without the libraries that they need."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from core_engine_teachers import HuggingFace
from reference import build, one_by_one
from tiny_models import FAMILIES, TEXTS

from core_engine.errors import TeacherError

REMEDY = 'pip install "core-engine[large]"'


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``without(names)``: as if these packages were not installed, and all others were."""

    def hide(*names: str) -> None:
        spec = importlib.util.find_spec("json")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None if name in names else spec)

    return hide


@pytest.mark.parametrize(
    ("option", "absent", "told"),
    [
        ({"device_map": "auto"}, ["accelerate"], ("device_map", f"needs the package accelerate: {REMEDY}")),
        (
            {"quantization": "8bit"},
            ["bitsandbytes"],
            ("quantization", f"8bit needs the package bitsandbytes: {REMEDY}"),
        ),
        (
            {"quantization": "4bit"},
            ["bitsandbytes", "accelerate"],
            ("quantization", f"4bit needs the packages bitsandbytes and accelerate: {REMEDY}"),
        ),
    ],
    ids=str,
)
def test_a_missing_library_is_known_to_check_and_said_by_encode(
    tiny_model: Callable[[str], Path],
    without: Callable[..., None],
    option: dict[str, str],
    absent: list[str],
    told: tuple[str, str],
) -> None:
    teacher = HuggingFace(model=str(tiny_model("bert")), **option)  # type: ignore[arg-type]
    hub = HuggingFace(model="owner/name", **option)  # type: ignore[arg-type]
    encoder = build(tiny_model("bert"), **option)
    without(*absent)
    assert list(teacher.check()) == list(hub.check()) == [told]
    with pytest.raises(TeacherError) as error:
        encoder.encode(["dogs"])
    assert f"{told[0]}: {told[1]}" in str(error.value)
    without()
    assert list(teacher.check()) == []


def test_nothing_is_asked_for_where_nothing_is_needed(
    tiny_model: Callable[[str], Path], without: Callable[..., None]
) -> None:
    without("accelerate", "bitsandbytes")
    assert list(HuggingFace(model=str(tiny_model("bert"))).check()) == []


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="accelerate is not installed")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_device_map_gives_the_same_embeddings(tiny_model: Callable[[str], Path], family: str) -> None:
    rows = build(tiny_model(family), device_map="auto", padding="left").encode(TEXTS)
    expected = F.normalize(one_by_one(tiny_model(family), TEXTS), dim=1)
    torch.testing.assert_close(rows, expected, atol=1e-5, rtol=1e-5)


def test_quantization_that_fails_says_what_it_needs(
    tiny_model: Callable[[str], Path], without: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # installed by its name, broken when it is imported
    encoder = build(tiny_model("bert"), quantization="8bit")
    monkeypatch.setattr("core_engine_teachers.large._installed", lambda name: True)
    with pytest.raises(TeacherError, match=r"loaded with quantization: 8bit on cpu .*Use a GPU that bitsandbytes"):
        encoder.encode(["dogs"])


def test_a_model_that_does_not_fit_is_told_apart_from_a_damaged_one(
    tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertModel

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(BertModel, "to", full)
    with pytest.raises(TeacherError, match="does not fit in the memory of cpu: set dtype: bfloat16, quantization"):
        build(tiny_model("bert")).encode(["dogs"])
