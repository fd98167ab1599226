"""A file that holds one matrix of embeddings."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from core_engine_data.matrices import Matrix, npy_matrix
from safetensors import SafetensorError, safe_open

from core_engine.errors import DataError, TeacherError

if TYPE_CHECKING:
    from torch import Tensor

TENSOR = "embeddings"
_DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


def embedding_matrix(path: Path) -> Matrix:
    """The matrix, memory-mapped. Only the header is read here, and torch is not imported before the first block.

    Raises TeacherError where the file does not hold ``[rows, dimensions]`` of floating-point numbers, and no more.
    """
    try:
        return npy_matrix(path) if path.suffix.lower() == ".npy" else _safetensors_matrix(path)
    except DataError as error:
        raise TeacherError(str(error)) from error


def _safetensors_matrix(path: Path) -> Matrix:
    @cache
    def tensor() -> Tensor:
        with safe_open(path, framework="pt") as file:  # numpy knows no bfloat16
            rows: Tensor = file.get_tensor(TENSOR)
            return rows

    try:
        with safe_open(path, framework="numpy") as file:
            names = sorted(file.keys())
            if names != [TENSOR]:
                found = ", ".join(map(repr, names)) or "none"
                raise DataError(f"{path}: the tensors are {found}; save one, named {TENSOR!r}")
            header = file.get_slice(TENSOR)
            shape, dtype = tuple(header.get_shape()), header.get_dtype()
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: not a .safetensors file that can be read ({error}); save it again") from error
    return Matrix(
        f"{path}: tensor {TENSOR!r}",
        shape,
        _DTYPES.get(dtype, dtype),
        lambda start, stop: tensor()[start:stop].float().clone().numpy(),
    )
