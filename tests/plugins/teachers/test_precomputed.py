"""The teacher ``precomputed``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from core_engine_teachers.precomputed.config import Precomputed
from core_engine_teachers.precomputed.lookup import Lookup
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from core_engine import Teacher, TeacherContext, embed
from core_engine.errors import TeacherError

TEXTS = ["two dogs", "Ümlaut: über", " spaces kept ", "a,b", "Two dogs"]
Files = Callable[..., Precomputed]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """``files(texts, rows, normalize=...)`` writes both files; rows may be an array, a tensor, or bytes."""

    def write(texts: Any = TEXTS, rows: Any = None, lines: str = ".txt", **options: Any) -> Precomputed:
        path = tmp_path / f"texts{lines}"
        written = texts if lines == ".txt" else [json.dumps({"text": text, "n": 1}) for text in texts]
        path.write_text("\n".join(written) + "\n", encoding="utf-8")
        if isinstance(rows, dict):
            embeddings = tmp_path / "rows.safetensors"
            save_file(rows, embeddings)
        else:
            embeddings = tmp_path / "rows.npy"
            np.save(embeddings, random(len(texts)) if rows is None else rows, allow_pickle=True)
        return Precomputed(texts=path, embeddings=embeddings, **options)

    return write


def random(rows: int, dim: int = 3) -> Any:
    return np.random.default_rng(rows).standard_normal((rows, dim)).astype("float32")


def build(options: Precomputed) -> Lookup:
    return options.build(TeacherContext(device="cpu"))


def expect(*parts: object) -> Any:
    """The error that tells all ``parts``, in this order, on one line."""
    return pytest.raises(TeacherError, match="^.*" + ".*".join(re.escape(str(part)) for part in parts) + ".*$")


@pytest.mark.parametrize("lines", [".txt", ".jsonl"])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *[("npy", dtype) for dtype in ("float16", "float32", "float64")],
        *[("safetensors", dtype) for dtype in ("float16", "bfloat16", "float32", "float64")],
    ],
)
def test_rows_by_text(files: Files, lines: str, kind: str, dtype: str) -> None:
    rows = torch.from_numpy(random(5)).to(getattr(torch, dtype))
    teacher = build(files(rows={"embeddings": rows} if kind == "safetensors" else rows.numpy(), lines=lines))
    asked = [TEXTS[i] for i in (3, 0, 2, 2, 4, 1)]
    found = teacher.encode(asked)
    assert found.dtype == torch.float32
    assert torch.equal(found, rows.float()[[3, 0, 2, 2, 4, 1]])
    assert teacher.encode([]).shape == (0, 3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(min_size=1), min_size=1, unique=True), data=st.data())
def test_any_texts_in_any_order(files: Files, texts: list[str], data: st.DataObject) -> None:
    options = files(texts, lines=".jsonl")
    order = data.draw(st.permutations(range(len(texts))))
    assert torch.equal(
        build(options).encode([texts[i] for i in order]), torch.from_numpy(random(len(texts)))[list(order)]
    )


def test_unit_length_if_it_is_wanted(files: Files) -> None:
    rows = random(5) * 1e30  # whose squares float32 cannot hold
    found = build(files(rows=rows, normalize=True)).encode(TEXTS)
    torch.testing.assert_close(found, torch.nn.functional.normalize(torch.from_numpy(random(5))))


def test_through_the_engines_embedding(files: Files) -> None:
    teacher = build(files())
    assert isinstance(teacher, Teacher)
    assert torch.equal(embed(TEXTS * 2, teacher, store=None), torch.from_numpy(random(5)).repeat(2, 1))
    with pytest.raises(TypeError, match="sequence of texts"):
        teacher.encode("two dogs")


def test_blank_lines_are_no_texts(files: Files) -> None:
    options = files([TEXTS[0], "", "  ", *TEXTS[1:]], random(5))
    assert torch.equal(build(options).encode(TEXTS), torch.from_numpy(random(5)))


def test_a_text_that_is_not_there(files: Files) -> None:
    options = files()
    with expect(
        f"2 of 3 texts are not in {options.texts}; the first: 'two dogs '. Add them",
        f"to {options.embeddings}; a text must be the same",
    ):
        build(options).encode(["two dogs", "two dogs ", "cats"])


@pytest.mark.parametrize("rows", [4, 6])
def test_counts_that_differ(files: Files, rows: int) -> None:
    options = files(rows=random(rows))
    with expect(f"{options.embeddings}: {rows} rows, but 5 texts in {options.texts}; row i must be"):
        build(options).encode(TEXTS[:1])


def test_a_text_twice(files: Files) -> None:
    rows = random(3)
    options = files(["a", "b", "a"], rows)
    with expect(f"{options.texts}: text 'a' stands there twice, with different rows 0 and 2", options.embeddings):
        build(options).encode(["b"])
    rows[2] = rows[0]
    assert torch.equal(build(files(["a", "b", "a"], rows)).encode(["a"]), torch.from_numpy(rows[:1]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite(files: Files, value: float) -> None:
    rows = random(5)
    rows[3, 1] = value
    options = files(rows=rows)
    with expect(f"{options.embeddings}: row 3 (counted from 0) holds {value} in column 1"):
        build(options).encode(TEXTS)


def test_numbers_that_float32_cannot_hold(files: Files) -> None:
    rows = random(5).astype("float64")
    rows[3, 1] = 1e300
    for form in (rows, {"embeddings": torch.from_numpy(rows)}):
        with expect("row 3 (counted from 0) holds inf in column 1"):
            build(files(rows=form)).encode(TEXTS)


@pytest.mark.parametrize("normalize", [True, False])
def test_rows_of_zeros(files: Files, normalize: bool) -> None:
    rows = random(5)
    rows[2] = 0
    options = files(rows=rows, normalize=normalize)
    with expect(f"{options.embeddings}: row 2 (counted from 0) is all zeros"):
        build(options).encode(TEXTS)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (np.zeros(5, "float32"), "the shape is [5]; save embeddings as [rows, dimensions]"),
        (np.zeros((5, 1, 2), "float32"), "the shape is [5, 1, 2]"),
        (np.zeros((5, 0), "float32"), "there is nothing in it"),
        (np.zeros((5, 2), "int64"), "the values are int64"),
        (np.array([["a"]], dtype=object), "not an .npy file that can be read"),
        ({"embeddings": torch.zeros(5)}, "the shape is [5]"),
        ({"embeddings": torch.zeros(5, 2, dtype=torch.int8)}, "the values are I8"),
        ({"rows": torch.zeros(5, 2)}, "the tensors are 'rows'; save one, named 'embeddings'"),
        ({"embeddings": torch.zeros(5, 2), "x": torch.zeros(1)}, "the tensors are 'embeddings', 'x'"),
    ],
)
def test_files_of_another_form_are_known_to_check(files: Files, rows: Any, told: str) -> None:
    options = files(rows=rows)
    [(option, problem)] = options.check()
    assert option == "embeddings"
    assert problem.startswith(f"{options.embeddings}: ")
    assert told in problem
    assert options.embedding_dim() is None
    with expect("embeddings: ", told):
        build(options)


def test_files_that_are_not_there(files: Files, tmp_path: Path) -> None:
    options = Precomputed(texts=tmp_path / "no.txt", embeddings=tmp_path / "no.npy")
    assert [option for option, _ in options.check()] == ["texts", "embeddings"]
    assert options.embedding_dim() is None
    other = Precomputed(texts=tmp_path / "no.csv", embeddings=files().embeddings)
    assert [option for option, _ in other.check()] == ["texts"]
    assert other.embedding_dim() == 3


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_torn_files(files: Files, suffix: str) -> None:
    options = files(rows={"embeddings": torch.ones(5, 2)} if suffix == ".safetensors" else None)
    whole = options.embeddings.read_bytes()
    for kept in (1, 9, len(whole) // 2, len(whole) - 1):
        options.embeddings.write_bytes(whole[:kept])
        assert [option for option, _ in options.check()] == ["embeddings"]


def test_texts_that_cannot_be_read(files: Files) -> None:
    options = files()
    options.texts.write_bytes(b"two dogs\n\xff\n")
    with expect(f"{options.texts}:2: not UTF-8 text"):
        build(options).encode(TEXTS)


def test_the_fingerprint_is_of_both_files(files: Files, tmp_path: Path) -> None:
    base = build(files()).fingerprint
    assert base == build(files()).fingerprint
    moved = tmp_path / "moved"
    moved.mkdir()
    options = files()
    texts, rows = options.texts.rename(moved / "a.txt"), options.embeddings.rename(moved / "b.npy")
    assert build(Precomputed(texts=texts, embeddings=rows)).fingerprint == base
    fingerprints = {base}
    for change in ({"normalize": True}, {"texts": [*TEXTS[:4], "other"]}, {"rows": random(5) + 1}):
        fingerprints.add(build(files(**change)).fingerprint)
    assert len(fingerprints) == 4


def test_what_check_needs_is_light(files: Files) -> None:
    for options in (files(), files(rows={"embeddings": torch.ones(5, 3).bfloat16()})):
        code = (
            "import sys; from pathlib import Path; from core_engine_teachers.precomputed.config import Precomputed\n"
            "options = Precomputed(texts=Path(sys.argv[1]), embeddings=Path(sys.argv[2]))\n"
            "assert 'numpy' not in sys.modules\n"
            "assert (list(options.check()), options.embedding_dim()) == ([], 3)\n"
            "assert not {'torch', 'transformers'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code, str(options.texts), str(options.embeddings)], check=True)
