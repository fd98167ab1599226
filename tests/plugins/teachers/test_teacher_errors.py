"""Every way that a model on disk can be unusable: one TeacherError that names the file and the remedy."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from core_engine_teachers import HuggingFace, model_folder
from safetensors.torch import load_file, save_file
from structlog.testing import capture_logs
from tiny_models import POSITIONS, save_tokenizer

from core_engine import TeacherContext
from core_engine.errors import TeacherError


def encode(folder: Path | str, texts: list[str] | None = None, **options: Any) -> None:
    HuggingFace(model=str(folder), **options).build(TeacherContext(device="cpu")).encode(texts or ["dogs", "cats"])


def edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def expect(*parts: str | Path) -> Any:
    """The error that tells all ``parts``, in this order."""
    return pytest.raises(TeacherError, match="(?s)" + ".*".join(re.escape(str(part)) for part in parts))


def test_no_folder(tmp_path: Path) -> None:
    with expect(tmp_path / "absent", "no such folder"):
        encode(tmp_path / "absent")


def test_no_config(bert: Path) -> None:
    (bert / "config.json").unlink()
    with expect(bert, "has no config.json", "save_pretrained"):
        encode(bert)


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_broken_config(bert: Path, content: str) -> None:
    (bert / "config.json").write_text(content)
    with expect(bert / "config.json", "copy or download"):
        encode(bert)


def test_config_of_an_unknown_kind_of_model(bert: Path) -> None:
    edit_json(bert / "config.json", model_type="unheard_of")
    with expect(bert, "cannot be loaded", "unheard_of", "upgrade"):
        encode(bert)


def test_config_without_hidden_size(bert: Path) -> None:
    edit_json(bert / "config.json", hidden_size=None)
    with expect(bert, "no hidden size"):
        encode(bert)


def test_pickled_weights_only(bert: Path) -> None:
    torch.save(load_file(bert / "model.safetensors"), bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    with expect(bert, "pickled weights only (pytorch_model.bin)", "Convert them once", "save_pretrained"):
        encode(bert)


def test_the_remedy_for_pickled_weights_works(bert: Path) -> None:
    import subprocess
    import sys

    torch.save(load_file(bert / "model.safetensors"), bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    with pytest.raises(TeacherError) as error:
        encode(bert)
    command = re.search(r'python -c "(.*)"', str(error.value))
    assert command is not None
    subprocess.run([sys.executable, "-c", command[1]], check=True, capture_output=True)
    encode(bert)


def test_no_weights(bert: Path) -> None:
    (bert / "model.safetensors").unlink()
    with expect(bert, "has no model.safetensors"):
        encode(bert)


def test_a_lost_shard(bert: Path) -> None:
    (bert / "model.safetensors").rename(bert / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (bert / "model.safetensors.index.json").write_text(json.dumps(index))
    with expect(bert, "lacks model-00002-of-00002.safetensors"):
        encode(bert)


def test_an_index_that_names_nothing(bert: Path) -> None:
    (bert / "model.safetensors").unlink()
    (bert / "model.safetensors.index.json").write_text("{}")
    with expect(bert / "model.safetensors.index.json", "no weight_map"):
        encode(bert)


@pytest.mark.parametrize("kept", [0, 4, 300, 5000])
def test_torn_weights(bert: Path, kept: int) -> None:
    whole = (bert / "model.safetensors").read_bytes()
    (bert / "model.safetensors").write_bytes(whole[:kept])
    with expect(bert / "model.safetensors", "damaged", "download it again"):
        encode(bert)


def test_missing_weights_are_never_made_up(bert: Path) -> None:
    edit_weights(bert, lambda weights: weights.pop("encoder.layer.1.output.dense.weight"))
    with expect(bert, "do not fit config.json", "1 weights", "encoder.layer.1.output.dense.weight"):
        encode(bert)


def test_weights_of_another_shape(bert: Path) -> None:
    edit_json(bert / "config.json", intermediate_size=32)
    with expect(bert, "do not fit config.json", "6 weights", "encoder.layer.0.intermediate.dense"):
        encode(bert)


def test_weights_of_another_family(bert: Path, tiny_model: Callable[[str], Path]) -> None:
    (bert / "model.safetensors").write_bytes((tiny_model("gpt2") / "model.safetensors").read_bytes())
    with expect(bert, "do not fit config.json"):
        encode(bert)


def test_a_pooler_that_is_missing_is_not_missed(bert: Path) -> None:
    edit_weights(bert, lambda weights: [weights.pop(f"pooler.dense.{name}") for name in ("weight", "bias")])
    encode(bert)


def test_layers_that_the_config_leaves_out_are_told(bert: Path) -> None:
    edit_json(bert / "config.json", num_hidden_layers=1)
    with capture_logs() as logs:
        encode(bert)
    [warning] = [log for log in logs if log["log_level"] == "warning"]
    assert warning["count"] == 16
    assert all(name.startswith("encoder.layer.1.") for name in warning["such_as"])


def test_heads_that_are_not_used_are_not_told(tiny_model: Callable[[str], Path]) -> None:
    with capture_logs() as logs:
        encode(tiny_model("roberta"))
        encode(tiny_model("llama"))
    assert not [log for log in logs if log["log_level"] == "warning"]


def test_no_tokenizer(bert: Path) -> None:
    (bert / "tokenizer.json").unlink()
    with expect(bert, "has no tokenizer"):
        encode(bert)


def test_broken_tokenizer(bert: Path) -> None:
    (bert / "tokenizer.json").write_text("{")
    with expect(bert, "tokenizer cannot be loaded"):
        encode(bert)


def test_tokenizer_of_another_model(bert: Path) -> None:
    edit_json(bert / "config.json", vocab_size=9)
    key = "embeddings.word_embeddings.weight"
    edit_weights(bert, lambda weights: weights.update({key: weights[key][:9].clone()}))
    with expect(bert, "beyond the model's 9", "different models"):
        encode(bert)


def test_code_is_not_run_unless_trusted(bert: Path) -> None:
    edit_json(bert / "config.json", model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"})
    (bert / "own.py").write_text(f"open({str(bert / 'ran')!r}, 'w')\n")
    with expect(bert, "trust_remote_code: true"):
        encode(bert)
    assert not (bert / "ran").exists()


def test_encoder_decoder_models_are_refused(tmp_path: Path) -> None:
    import transformers as t

    shape = {"vocab_size": 32, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 1, "num_heads": 4}
    t.T5Model(t.T5Config(**shape)).save_pretrained(tmp_path)
    save_tokenizer(tmp_path, causal=False)
    with expect(tmp_path, "encoder-decoder"):
        encode(tmp_path, max_length=16)


def test_length_beyond_robertas_positions(tiny_model: Callable[[str], Path]) -> None:
    with expect(tiny_model("roberta"), f"max_length is {POSITIONS + 1}", f"set max_length: {POSITIONS} or less"):
        encode(tiny_model("roberta"), max_length=POSITIONS + 1)


def test_positions_that_the_weights_have_and_the_config_does_not_tell_of(
    tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_folder, "_POSITIONS_AFTER_PADDING", frozenset())  # as a family that is not known
    with expect(tiny_model("roberta"), f"max_length is {POSITIONS + 2}", f"set max_length: {POSITIONS}"):
        encode(tiny_model("roberta"), max_length=POSITIONS + 2)


def test_length_without_room_for_text(bert: Path) -> None:
    with expect(bert, "max_length 2 leaves no room beside 2 special tokens"):
        encode(bert, max_length=2)


def test_embeddings_that_are_not_finite_name_the_text(bert: Path) -> None:
    tokens = json.loads((bert / "tokenizer.json").read_text())["model"]["vocab"]

    def break_one_word(weights: dict[str, torch.Tensor]) -> None:
        weights["embeddings.word_embeddings.weight"][tokens["cats"]] = float("nan")

    edit_weights(bert, break_one_word)
    with expect("embedding of 'two cats' is not finite (1 such of 3)"):
        encode(bert, ["two dogs", "two cats", "the hotel"])


@pytest.mark.parametrize("empty", ["", "  ", "\n\t"])
def test_an_empty_text(bert: Path, empty: str) -> None:
    with expect("2 of 4 texts are empty, the first at position 1"):
        encode(bert, ["dogs", empty, "cats", empty])


def test_a_text_without_tokens(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model("gpt2"), tmp_path / "gpt2"))
    edit_json(folder / "tokenizer.json", normalizer={"type": "Replace", "pattern": {"String": "-"}, "content": ""})
    with expect("text '--' has no tokens (1 such)"):
        encode(folder, ["dogs", "--"])


def test_an_embedding_without_direction_names_the_text(bert: Path) -> None:
    edit_weights(bert, lambda weights: [weights[f"embeddings.LayerNorm.{name}"].zero_() for name in ("weight", "bias")])
    with expect("embedding of 'dogs' is all zeros (2 such of 2)"):
        encode(bert, layer=0)


def test_a_prompt_without_room_for_text(bert: Path) -> None:
    with expect(bert, "max_length 5", "no room for text beside the prompt's 3 tokens and 2 special tokens"):
        encode(bert, max_length=5, prompt="where is my ")
    encode(bert, max_length=6, prompt="where is my ")


def test_a_text_that_is_not_unicode(bert: Path) -> None:
    with expect(r"text 'dogs \udc80' is not valid Unicode"):
        encode(bert, ["cats", "dogs \udc80"])


@pytest.mark.parametrize("model", ["owner/name/more", "a b", "model.safetensors/"])
def test_what_is_neither_folder_nor_hub_id(model: str) -> None:
    with expect(model, "not a hub id either", f"./{model}"):
        encode(model)


def test_a_device_that_is_not_there(bert: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    teacher = HuggingFace(model=str(bert)).build(TeacherContext(device="cuda:0"))
    with expect(bert, "cannot be loaded"):
        teacher.encode(["dogs"])


def test_an_adapter_is_not_loaded_unseen(bert: Path) -> None:
    (bert / "adapter_config.json").write_text("{}")
    with expect("adapter on top of another model"):
        encode(bert)
