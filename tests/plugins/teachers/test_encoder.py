"""The encoder against models of seven families, loaded from disk as a user's are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from reference import build, one_by_one
from safetensors.torch import load_file
from structlog.testing import capture_logs
from tiny_models import CAUSAL, FAMILIES, TEXTS
from torch import Tensor
from transformers import AutoModel

from core_engine import Teacher
from core_engine.errors import TeacherError

ModelOf = Callable[[str], Path]
POOLINGS = ["mean", "cls", "last", "max", "mean_sqrt_len", "weighted_mean"]


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_what_each_text_gives_alone(tiny_model: ModelOf, family: str, padding: str) -> None:
    folder = tiny_model(family)
    for pooling in ("mean", "last"):
        expected = one_by_one(folder, TEXTS, pooling)
        raw = build(folder, pooling=pooling, padding=padding, normalize=False).encode(TEXTS)
        torch.testing.assert_close(raw, expected, atol=1e-5, rtol=1e-5)
    unit = build(folder, padding=padding).encode(TEXTS)
    torch.testing.assert_close(unit, F.normalize(one_by_one(folder, TEXTS), dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_every_pooling(tiny_model: ModelOf, family: str, pooling: str, padding: str) -> None:
    folder = tiny_model(family)
    raw = build(folder, pooling=pooling, padding=padding, normalize=False).encode(TEXTS)
    torch.testing.assert_close(raw, one_by_one(folder, TEXTS, pooling), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_do_not_depend_on_the_batch(tiny_model: ModelOf, family: str, padding: str) -> None:
    together = build(tiny_model(family), batch_tokens=10_000, padding=padding).encode(TEXTS)
    alone = build(tiny_model(family), batch_tokens=1, padding=padding).encode(TEXTS)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2, -1, -2, [0, -1], [1, 2], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama"])
def test_layers_and_their_average(tiny_model: ModelOf, family: str, layer: int | list[int]) -> None:
    folder = tiny_model(family)
    layers = layer if isinstance(layer, list) else [layer]
    row = build(folder, layer=layer, normalize=False).encode(TEXTS)
    torch.testing.assert_close(row, one_by_one(folder, TEXTS, layers=layers), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [3, -4, [0, 7]], ids=str)
def test_a_layer_that_the_model_lacks(bert: Path, layer: int | list[int]) -> None:
    with pytest.raises(TeacherError, match=r"layer -?\d does not exist: the model has 3 hidden states, from 0"):
        build(bert, layer=layer)


def test_hidden_states_are_kept_only_where_they_are_asked_for(tiny_model: ModelOf) -> None:
    for layer, kept in ((-1, False), (1, True)):
        encoder = build(tiny_model("bert"), layer=layer)
        asked: list[bool] = []
        model = encoder._forward.model  # type: ignore[attr-defined]
        model.register_forward_pre_hook(
            lambda _, __, named, asked=asked: asked.append("output_hidden_states" in named), with_kwargs=True
        )
        encoder.encode(["dogs"])
        assert asked == [kept]


@pytest.mark.parametrize("special_tokens", [True, False])
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_prompt_comes_before_every_text_and_is_pooled(tiny_model: ModelOf, family: str, special_tokens: bool) -> None:
    folder = tiny_model(family)
    encoder = build(folder, prompt="where is ", special_tokens=special_tokens, normalize=False)
    expected = one_by_one(folder, [f"where is {text}" for text in TEXTS], special_tokens=special_tokens)
    torch.testing.assert_close(encoder.encode(TEXTS), expected, atol=1e-5, rtol=1e-5)


def test_special_tokens_make_a_difference_where_there_are_any(tiny_model: ModelOf) -> None:
    with_them, without = (build(tiny_model("bert"), special_tokens=on).encode(TEXTS) for on in (True, False))
    assert not torch.allclose(with_them, without, atol=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_fused_where_the_model_has_it(tiny_model: ModelOf, family: str) -> None:
    assert build(tiny_model(family))._forward.model.config._attn_implementation == "sdpa"  # type: ignore[attr-defined]


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize(("family", "filling"), [("bert", 1), ("roberta", 1), ("gpt2", 2)])
def test_padding_is_the_tokenizers_own_token_or_else_its_end_token(
    tiny_model: ModelOf, family: str, filling: int, padding: str
) -> None:
    encoder = build(tiny_model(family), padding=padding)
    seen: list[Tensor] = []
    embeddings = encoder._forward.model.get_input_embeddings()  # type: ignore[attr-defined]
    embeddings.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder.encode(["where can i park my car", "dogs"])
    [ids] = seen
    length = 1 if family in CAUSAL else 3
    padded = ids[1, length:] if padding == "right" else ids[1, :-length]
    assert set(padded.tolist()) == {filling}


def test_left_padding_is_refused_where_the_model_cannot_tell_padding_from_text(
    tiny_model: ModelOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core_engine_teachers.forward import TorchForward

    # As a model that counts positions from the left and takes none: this is what DistilBERT was for years.
    monkeypatch.setattr(TorchForward, "_positioned", lambda self, inputs: inputs)
    with pytest.raises(
        TeacherError, match=r"padding on the left changes this model.s hidden states .* set padding: right"
    ):
        build(tiny_model("distilbert"), padding="left").encode(TEXTS)
    build(tiny_model("llama"), padding="left").encode(TEXTS)  # its positions are relative


@pytest.mark.parametrize("padding", ["right", "left"])
def test_a_model_that_looks_across_the_mask_is_encoded_one_text_at_a_time(
    tiny_model: ModelOf, tmp_path: Path, padding: str
) -> None:
    from transformers import AutoTokenizer, ConvBertConfig, ConvBertModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_model("bert"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    torch.manual_seed(0)
    ConvBertModel(ConvBertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    told = f"padding on the {padding} changes this model's hidden states .* set batch_tokens: 1"
    with pytest.raises(TeacherError, match=told):
        build(tmp_path, padding=padding).encode(TEXTS)
    rows = build(tmp_path, padding=padding, batch_tokens=1, normalize=False).encode(TEXTS)
    torch.testing.assert_close(rows, one_by_one(tmp_path, TEXTS), atol=1e-5, rtol=1e-5)


def test_the_contract_of_a_teacher(tiny_model: ModelOf) -> None:
    encoder = build(tiny_model("bert"))
    embeddings = encoder.encode(TEXTS)
    assert isinstance(encoder, Teacher)
    assert (embeddings.dtype, embeddings.shape) == (torch.float32, (len(TEXTS), encoder.dim))
    assert encoder.encode([]).shape == (0, 16)
    # Training multiplies embeddings by parameters, which autograd refuses for tensors made in inference mode.
    (embeddings @ torch.ones(16, requires_grad=True)).sum().backward()


def test_one_text_in_place_of_a_list_is_refused(tiny_model: ModelOf) -> None:
    with pytest.raises(TypeError, match="sequence of texts"):
        build(tiny_model("bert")).encode("the hotel")


def test_nothing_is_loaded_before_the_first_text(tiny_model: ModelOf) -> None:
    with capture_logs() as logs:
        encoder = build(tiny_model("bert"))
        _ = encoder.dim, encoder.fingerprint, encoder.description, encoder.chars_per_call, encoder.encode([])
        assert [log["event"] for log in logs] == ["teacher located"]
        encoder.encode(["dogs"])
    assert [log["event"] for log in logs] == ["teacher located", "teacher loaded"]


def test_what_people_are_told(tiny_model: ModelOf) -> None:
    folder = tiny_model("llama")
    assert build(folder, pooling="last", dtype="auto", max_length=9).description == {
        "model": str(folder),
        "pooling": "last",
        "dtype": "float32",
        "max_length": 9,
    }


@pytest.mark.parametrize(("batch_tokens", "chars"), [(None, 65_536), (100, 6_400)])
def test_the_engine_is_asked_for_several_batches_of_text(
    tiny_model: ModelOf, batch_tokens: int | None, chars: int
) -> None:
    assert build(tiny_model("bert"), batch_tokens=batch_tokens).chars_per_call == chars


@pytest.mark.parametrize(("dtype", "cosine"), [("float16", 0.9999), ("bfloat16", 0.999)])
@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_lower_precision_stays_close_and_answers_in_float32(
    tiny_model: ModelOf, family: str, padding: str, dtype: str, cosine: float
) -> None:
    exact = F.normalize(one_by_one(tiny_model(family), TEXTS), dim=1)
    rough = build(tiny_model(family), dtype=dtype, padding=padding).encode(TEXTS)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert F.cosine_similarity(rough, exact).min() >= cosine
    torch.testing.assert_close(rough.norm(dim=1), torch.ones(len(TEXTS)))  # to float32


@pytest.mark.parametrize("dtype", ["float32", "auto"])
def test_half_precision_on_disk_gives_float32_out(tiny_model: ModelOf, bert: Path, dtype: str) -> None:
    AutoModel.from_pretrained(bert, dtype=torch.float16).save_pretrained(bert)
    assert {weight.dtype for weight in load_file(bert / "model.safetensors").values()} == {torch.float16}
    encoder = build(bert, dtype=dtype)
    rows = encoder.encode(TEXTS)
    assert rows.dtype == torch.float32
    assert encoder.description["dtype"] == {"float32": "float32", "auto": "float16"}[dtype]
    assert encoder._forward.model.dtype == {"float32": torch.float32, "auto": torch.float16}[dtype]  # type: ignore[attr-defined]
    exact = build(tiny_model("bert")).encode(TEXTS)
    assert F.cosine_similarity(rows, exact).min() > 0.9999


@pytest.mark.parametrize(
    ("stated", "resolved"),
    [
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"torch_dtype": "float16"}, "float16"),
        ({"dtype": "torch.bfloat16"}, "bfloat16"),
        ({}, "float32"),
    ],
    ids=str,
)
def test_auto_is_what_config_json_says(bert: Path, stated: dict[str, str], resolved: str) -> None:
    config = json.loads((bert / "config.json").read_text())
    config = {key: value for key, value in config.items() if key not in ("dtype", "torch_dtype")}
    (bert / "config.json").write_text(json.dumps(config | stated))
    automatic, named = build(bert, dtype="auto"), build(bert, dtype=resolved)
    assert automatic.description["dtype"] == resolved
    assert automatic.fingerprint == named.fingerprint


def test_auto_cannot_follow_every_precision(bert: Path) -> None:
    config = json.loads((bert / "config.json").read_text()) | {"dtype": "float8_e4m3fn"}
    (bert / "config.json").write_text(json.dumps(config))
    with pytest.raises(TeacherError, match=r"states dtype float8_e4m3fn, .* set dtype to float32, bfloat16, float16"):
        build(bert, dtype="auto")


@pytest.mark.parametrize(("fast", "warnings"), [(True, 0), (False, 1)])
def test_bfloat16_without_instructions_for_it_is_told_once(
    tiny_model: ModelOf, monkeypatch: pytest.MonkeyPatch, fast: bool, warnings: int
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": fast, "avx512_f": True})
    encoder = build(tiny_model("bert"), dtype="bfloat16")
    with capture_logs() as logs:
        encoder.encode(["dogs"])
        encoder.encode(["cats"])
    told = [log for log in logs if log["log_level"] == "warning"]
    assert len(told) == warnings
    assert all("float32 would be faster" in log["event"] for log in told)
