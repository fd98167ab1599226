"""Presets for families of models: their defaults, and that they take no others."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from core_engine_teachers import Bert, CodeLlama, DistilBert, Gpt2, HuggingFace, Llama, Mistral, Qwen, Roberta, teachers
from reference import one_by_one
from tiny_models import POSITIONS, TEXTS

from core_engine import TeacherContext
from core_engine.errors import TeacherError
from core_engine.host.registry import Registry
from core_engine.recipe.compose import read_recipe_file
from core_engine.recipe.structure import Structurer

ModelOf = Callable[[str], Path]
CPU = TeacherContext(device="cpu")
DECODERS = {"llama": Llama, "codellama": CodeLlama, "mistral": Mistral, "qwen": Qwen, "gpt2": Gpt2}
ENCODERS = {"bert": Bert, "roberta": Roberta, "distilbert": DistilBert}
PRESETS: dict[str, type[HuggingFace]] = {**DECODERS, **ENCODERS}
FAMILY = {**{name: name for name in PRESETS}, "codellama": "llama", "qwen": "qwen2"}


def edit_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_plugin_offers_them() -> None:
    assert PRESETS.items() <= {component.name: component.config for component in teachers()}.items()
    for name, preset in PRESETS.items():
        assert preset.preset == name
        assert (inspect.getdoc(preset) or "").splitlines()[0].endswith(".")


@pytest.mark.parametrize("name", PRESETS)
def test_defaults_suit_the_family(name: str) -> None:
    preset = PRESETS[name](model="owner/name")
    decoder = name in DECODERS
    assert (preset.pooling, preset.trust_remote_code) == ("mean", False)
    assert (preset.padding, preset.dtype) == (("left", "auto") if decoder else ("right", "float32"))


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "gpt2"])
def test_small_ones_have_a_model_of_their_own(name: str) -> None:
    assert re.fullmatch(r"[\w-]+/[\w-]+", PRESETS[name]().model)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["llama", "codellama", "mistral", "qwen"])
def test_large_ones_need_one(name: str) -> None:
    with pytest.raises(TypeError, match="model"):
        PRESETS[name]()  # type: ignore[call-arg]


@pytest.mark.parametrize("name", PRESETS)
def test_they_encode_as_hf_does(tiny_model: ModelOf, name: str) -> None:
    folder = tiny_model(FAMILY[name])
    preset = PRESETS[name](model=str(folder))
    assert list(preset.check()) == []
    assert preset.embedding_dim() == 16
    encoder = preset.build(CPU)
    expected = F.normalize(one_by_one(folder, TEXTS), dim=1)
    torch.testing.assert_close(encoder.encode(TEXTS), expected, atol=1e-5, rtol=1e-5)
    same = HuggingFace(model=str(folder), max_length=POSITIONS).build(CPU)
    assert encoder.fingerprint == same.fingerprint  # one embedding store for both


@pytest.mark.parametrize(
    ("positions", "asked", "limit"), [(131_072, None, 512), (300, None, 300), (131_072, 4_000, 4_000)]
)
def test_without_max_length_decoders_take_512_tokens_or_what_the_model_has(
    tiny_model: ModelOf, tmp_path: Path, positions: int, asked: int | None, limit: int
) -> None:
    (tmp_path / "m").mkdir()
    for file in tiny_model("llama").iterdir():
        (tmp_path / "m" / file.name).write_bytes(file.read_bytes())
    edit_config(tmp_path / "m", max_position_embeddings=positions)
    encoder = Llama(model=str(tmp_path / "m"), max_length=asked).build(CPU)
    assert encoder.description["max_length"] == limit


@pytest.mark.parametrize(
    ("name", "family", "remedy"),
    [
        ("llama", "bert", "type: bert or type: hf"),
        ("bert", "distilbert", "type: distilbert or type: hf"),
        ("roberta", "bert", "type: bert or type: hf"),
        ("mistral", "llama", "type: llama or type: hf"),
        ("qwen", "qwen2_vl", "type: hf"),
    ],
)
def test_a_model_of_another_family_is_refused(bert: Path, name: str, family: str, remedy: str) -> None:
    edit_config(bert, model_type=family)
    preset = PRESETS[name](model=str(bert))
    told = f"'{name}' cannot use {bert}, whose config.json says model_type {family}: use {remedy}"
    assert list(preset.check()) == [("model", told)]
    with pytest.raises(TeacherError, match=re.escape(told)):
        preset.build(CPU)


@pytest.mark.parametrize(
    ("name", "families"),
    [("qwen", ["qwen2", "qwen3", "qwen2_moe", "qwen3_moe"]), ("roberta", ["roberta", "xlm-roberta", "camembert"])],
)
def test_kin_are_welcome(bert: Path, name: str, families: list[str]) -> None:
    for family in families:
        edit_config(bert, model_type=family)
        assert list(PRESETS[name](model=str(bert)).check()) == []


@pytest.mark.parametrize(
    ("written", "layers"), [("-1", (-1,)), ("[1, 2]", (1, 2)), ("[0]", (0,)), ("last", None), ("1.5", None)]
)
def test_layers_can_be_written_as_one_or_several(tmp_path: Path, written: str, layers: tuple[int, ...] | None) -> None:
    (tmp_path / "recipe.yaml").write_text(f"model: owner/name\nquantization: 8bit\nlayer: {written}\n")
    node, _ = read_recipe_file(tmp_path / "recipe.yaml")
    assert node is not None
    structurer = Structurer(Registry())
    teacher = structurer.structure(node, Llama)
    if layers is None:
        assert teacher is None
        assert "layer: expected an integer or a list" in str(structurer.problems[0])
    else:
        assert teacher is not None
        assert (teacher.layers, teacher.quantization) == (layers, "8bit")
