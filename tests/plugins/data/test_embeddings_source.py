"""The source ``embeddings``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from core_engine_data import Embeddings
from safetensors.torch import save_file

from core_engine import DataSourceContext, Example
from core_engine.errors import DataError

Write = Callable[[str, str | bytes], Path]


def read(config: Embeddings) -> list[Example]:
    return list(config.build(DataSourceContext(seed=0)).read())


def saved(path: Path, array: Any) -> Path:
    np.save(path, array, allow_pickle=True)
    return path


def random(rows: int, dim: int = 4, dtype: str = "float32") -> Any:
    return np.random.default_rng(rows).standard_normal((rows, dim)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f4"])
def test_npy_pairs_with_groups(tmp_path: Path, write: Write, dtype: str) -> None:
    inputs, targets = random(2500, 4, dtype), random(2500, 3, dtype)  # more than two blocks
    groups = [f"group {row % 7}" for row in range(2500)]
    examples = read(
        Embeddings(
            saved(tmp_path / "in.npy", inputs),
            saved(tmp_path / "out.npy", np.asfortranarray(targets)),
            write("groups.txt", "\r\n".join(groups)),
        )
    )
    assert [e.id for e in examples] == [f"in.npy:{row}" for row in range(2500)]
    assert [e.group for e in examples] == groups
    for part, expected in (("input", inputs), ("target", targets)):
        rows = [getattr(e, part) for e in examples]
        assert all(isinstance(row, np.memmap) for row in rows)  # they stay in the file
        np.testing.assert_array_equal(np.stack(rows), expected)


def test_npy_without_targets(tmp_path: Path) -> None:
    [example] = read(Embeddings(saved(tmp_path / "in.npy", random(1))))
    assert (example.target, example.group) == (None, None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_safetensors(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {name: torch.from_numpy(random(rows)).to(dtype) for name, rows in (("inputs", 1500), ("other", 1500))}
    tensors["targets"] = tensors.pop("other") + 1
    save_file(tensors, tmp_path / "pairs.safetensors")
    examples = read(Embeddings(tmp_path / "pairs.safetensors"))
    assert examples[1499].id == "pairs.safetensors:1499"
    for part in ("input", "target"):
        rows = np.stack([getattr(e, part) for e in examples])
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, tensors[part + "s"].float().numpy())


def test_safetensors_without_targets(tmp_path: Path) -> None:
    save_file({"inputs": torch.ones(2, 3)}, tmp_path / "x.safetensors")
    assert [e.target for e in read(Embeddings(tmp_path / "x.safetensors"))] == [None, None]


def test_the_file_is_not_loaded_whole(tmp_path: Path) -> None:
    array = random(5000)
    array[4000, 1] = np.inf
    rows = Embeddings(saved(tmp_path / "in.npy", array)).build(DataSourceContext(seed=0)).read()
    np.testing.assert_array_equal(next(rows).input, array[0])  # the bad row was not looked at
    with pytest.raises(
        DataError, match=r"in\.npy: row 4000 \(counted from 0\) holds inf in column 1; compute it again"
    ):
        list(rows)


def test_nan_among_the_targets(tmp_path: Path) -> None:
    targets = torch.ones(3, 2)
    targets[2, 0] = torch.nan
    save_file({"inputs": torch.ones(3, 2), "targets": targets}, tmp_path / "x.safetensors")
    with pytest.raises(DataError, match=r"x\.safetensors: tensor 'targets': row 2 \(counted from 0\) holds nan"):
        read(Embeddings(tmp_path / "x.safetensors"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 3), np.int64), "the values are int64; save embeddings as one of float16, bfloat16, float32"),
        (np.ones((2, 3), np.int64), "the values are int64"),
        (np.ones((2, 3), np.complex64), "the values are complex64"),
        (np.ones(3, np.float32), "the shape is [3]; save embeddings as [rows, dimensions]"),
        (np.ones((2, 3, 4), np.float32), "the shape is [2, 3, 4]"),
        (np.array(1.5, np.float32), "the shape is []"),
        (np.ones((0, 3), np.float32), "the shape is [0, 3], so there is nothing in it"),
        (np.ones((3, 0), np.float32), "the shape is [3, 0], so there is nothing in it"),
        (np.array([["a"], ["b"]]), "the values are str"),
        (np.array([[{}]], dtype=object), "not an .npy file that can be read"),
    ],
)
def test_an_array_of_another_kind(tmp_path: Path, array: Any, message: str) -> None:
    good = saved(tmp_path / "good.npy", random(2))
    with pytest.raises(DataError, match=re.escape(f"bad.npy: {message}")):
        read(Embeddings(saved(tmp_path / "bad.npy", array)))
    with pytest.raises(DataError, match=re.escape(f"bad.npy: {message}")):
        read(Embeddings(good, targets=tmp_path / "bad.npy"))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"inputs": torch.ones(2, 3, dtype=torch.int64)}, ": tensor 'inputs': the values are I64; save"),
        ({"inputs": torch.ones(2, 3), "targets": torch.ones(2)}, ": tensor 'targets': the shape is [2]; save"),
        ({"inputs": torch.tensor(1.0)}, ": tensor 'inputs': the shape is []"),
        ({"inputs": torch.ones(2, 3), "targets": torch.ones(3, 3)}, ": tensor 'targets': 3 rows, but 2 in"),
        ({"targets": torch.ones(2, 3)}, ": the tensors are 'targets'; name them 'inputs' and, for pairs, 'targets'"),
        ({"inputs": torch.ones(2, 3), "answers": torch.ones(2, 3)}, ": the tensors are 'answers', 'inputs'; name"),
        ({}, ": the tensors are none"),
    ],
)
def test_tensors_of_another_kind(tmp_path: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    save_file(tensors, tmp_path / "bad.safetensors")
    with pytest.raises(DataError, match=re.escape(f"bad.safetensors{message}")):
        read(Embeddings(tmp_path / "bad.safetensors"))


@pytest.mark.parametrize("keep", [3, 40, 130, 140])
def test_a_damaged_file(tmp_path: Path, keep: int) -> None:
    whole = saved(tmp_path / "whole.npy", random(4)).read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:keep])
    with pytest.raises(DataError, match=r"cut\.npy: not an \.npy file that can be read .*; save it again with"):
        read(Embeddings(tmp_path / "cut.npy"))
    save_file({"inputs": torch.ones(20, 3)}, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:keep])
    with pytest.raises(DataError, match=r"cut\.safetensors: not a \.safetensors file that can be read .*; save it"):
        read(Embeddings(tmp_path / "cut.safetensors"))


def test_a_damaged_header(tmp_path: Path) -> None:
    whole = saved(tmp_path / "x.npy", random(4)).read_bytes()
    (tmp_path / "x.npy").write_bytes(whole.replace(b"}", b"("))
    with pytest.raises(DataError, match=r"not an \.npy file that can be read"):
        read(Embeddings(tmp_path / "x.npy"))


def test_rows_must_be_as_many(tmp_path: Path, write: Write) -> None:
    inputs, targets = saved(tmp_path / "in.npy", random(3)), saved(tmp_path / "out.npy", random(2))
    with pytest.raises(DataError, match=r"out\.npy: 2 rows, but 3 in .*in\.npy; row i of both must be a pair"):
        read(Embeddings(inputs, targets))
    with pytest.raises(DataError, match=r"groups\.txt: 2 lines, but 3 rows in .*in\.npy; write one line a row"):
        read(Embeddings(inputs, groups=write("groups.txt", "a\nb\n")))
    with pytest.raises(DataError, match=r"groups\.txt:2: a blank line; write the name of that row's group"):
        read(Embeddings(inputs, groups=write("groups.txt", "a\n\nb\n")))


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    save_file({"inputs": torch.ones(2, 3)}, tmp_path / "x.safetensors")
    npy = saved(tmp_path / "x.npy", random(2))
    assert list(Embeddings(npy).check()) == []
    assert dict(Embeddings(tmp_path / "x.safetensors", targets=npy).check()) == {
        "targets": "with a .safetensors file, targets are its tensor 'targets'; leave this out"
    }
    assert dict(Embeddings(npy, targets=tmp_path / "x.safetensors", groups=npy).check()) == {
        "targets": f"{tmp_path / 'x.safetensors'}: file type '.safetensors' is not known here; use one of .npy",
        "groups": f"{npy}: file type '.npy' is not known here; use one of .txt",
    }
