from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core_engine_teachers import HuggingFace
from core_engine_teachers.encoder import Encoder
from core_engine_teachers.locate import Located
from core_engine_teachers.options import EncoderOptions
from safetensors.torch import load_file, save_file

from core_engine import TeacherContext


def fingerprint(folder: Path, **options: Any) -> str:
    return HuggingFace(model=str(folder), **options).build(TeacherContext(device="cpu")).fingerprint


def test_it_is_the_same_in_another_process(tiny_model: Callable[[str], Path]) -> None:
    folder = tiny_model("bert")
    script = (
        "import sys; from core_engine_teachers import HuggingFace; from core_engine import TeacherContext; "
        "print(HuggingFace(model=sys.argv[1]).build(TeacherContext(device='cpu')).fingerprint); "
        "assert 'transformers' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(folder)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == fingerprint(folder)


@pytest.mark.parametrize(
    "option",
    [
        {"pooling": "cls"},
        {"pooling": "last"},
        {"pooling": "weighted_mean"},
        {"layer": 1},
        {"layer": [1, 2]},
        {"prompt": "query: "},
        {"special_tokens": False},
        {"too_long": "cut"},
        {"quantization": "8bit"},
        {"quantization": "4bit"},
        {"max_length": 12},
        {"dtype": "bfloat16"},
        {"dtype": "float16"},
        {"normalize": False},
        {"trust_remote_code": True},
    ],
    ids=str,
)
def test_it_changes_with_every_option_that_changes_embeddings(
    tiny_model: Callable[[str], Path], option: dict[str, Any]
) -> None:
    assert fingerprint(tiny_model("bert"), **option) != fingerprint(tiny_model("bert"))


def test_it_does_not_change_with_what_embeddings_do_not_depend_on(tiny_model: Callable[[str], Path]) -> None:
    folder = tiny_model("bert")
    for option in (
        {"batch_tokens": 7},
        {"padding": "left"},
        {"device_map": "auto"},
        {"dtype": "auto"},
        {"layer": [-1]},
    ):
        assert fingerprint(folder, **option) == fingerprint(folder), option
    elsewhere = HuggingFace(model=str(folder)).build(TeacherContext(device="cuda:0"))
    assert elsewhere.fingerprint == fingerprint(folder)
    assert fingerprint(folder, max_length=24) == fingerprint(folder)  # the model's own limit, spelt out


def test_it_changes_with_one_weight(bert: Path) -> None:
    before = fingerprint(bert)
    weights = load_file(bert / "model.safetensors")
    weights["embeddings.LayerNorm.bias"][3] += 1
    save_file(weights, bert / "model.safetensors", metadata={"format": "pt"})
    assert fingerprint(bert) != before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_it_changes_with_each_file_that_matters(bert: Path, name: str) -> None:
    before = fingerprint(bert)
    content = json.loads((bert / name).read_text())
    (bert / name).write_text(json.dumps(content | {"note": "changed"}))
    assert fingerprint(bert) != before


def test_it_does_not_change_with_a_file_that_does_not_matter(bert: Path) -> None:
    before = fingerprint(bert)
    (bert / "README.md").write_text("A model card.")
    assert fingerprint(bert) == before


def test_it_changes_with_the_code_that_comes_with_the_model(bert: Path) -> None:
    (bert / "modeling_own.py").write_text("A = 1\n")
    trusted, plain = fingerprint(bert, trust_remote_code=True), fingerprint(bert)
    (bert / "modeling_own.py").write_text("A = 22\n")
    assert fingerprint(bert, trust_remote_code=True) != trusted
    assert fingerprint(bert) == plain


def test_it_changes_with_what_a_caller_adds(tiny_model: Callable[[str], Path]) -> None:
    located, options = Located(tiny_model("bert"), "bert", "folder"), EncoderOptions()
    plain, one, two = (
        Encoder(located, options, "cpu", identity=identity).fingerprint
        for identity in (None, {"head": "a"}, {"head": "b"})
    )
    assert len({plain, one, two}) == 3
    assert plain == fingerprint(tiny_model("bert"))
