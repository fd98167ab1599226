"""Matrices of embeddings in files, mapped and read a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from attrs import frozen
from safetensors import SafetensorError, safe_open

from core_engine.errors import DataError

_DTYPES = ("float16", "bfloat16", "float32", "float64")
_SAFETENSORS_DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


@frozen
class Matrix:
    """``block(start, stop)``: those rows, of an ``.npy`` file as they are mapped. ``name``: what messages call it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    block: Callable[[int, int], np.ndarray[Any, Any]]

    def __attrs_post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise DataError(
                f"{self.name}: the values are {self.dtype}; save embeddings as one of {', '.join(_DTYPES)}, for "
                "instance array.astype('float32')"
            )
        if len(self.shape) != 2:
            raise DataError(f"{self.name}: the shape is {list(self.shape)}; save embeddings as [rows, dimensions]")
        if 0 in self.shape:
            raise DataError(f"{self.name}: the shape is {list(self.shape)}, so there is nothing in it; save it again")

    @property
    def rows(self) -> int:
        return self.shape[0]

    def finite(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """A block; DataError naming the first row with a value that is not finite in float32."""
        block = self.block(start, stop)
        with np.errstate(over="ignore"):
            values = block.astype(np.float32, copy=False)
        bad = ~np.isfinite(values)
        if bad.any():
            row, column = (int(index) for index in np.argwhere(bad)[0])
            raise DataError(
                f"{self.name}: row {start + row} (counted from 0) holds {values[row, column]} in column {column}; "
                "compute it again, or remove the row"
            )
        return block


def npy_matrix(path: Path) -> Matrix:
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except (OSError, ValueError, SyntaxError, TokenError) as error:  # numpy lets those of its parser through
        raise DataError(
            f"{path}: not an .npy file that can be read ({error}); save it again with numpy.save"
        ) from error
    return Matrix(str(path), array.shape, array.dtype.name, lambda start, stop: array[start:stop])


@contextmanager
def safetensors_matrices(path: Path) -> Iterator[tuple[Matrix, Matrix | None]]:
    """The tensors ``inputs`` and, if it is there, ``targets``; any other is an error."""
    try:
        file = safe_open(path, framework="pt")  # numpy knows no bfloat16
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: not a .safetensors file that can be read ({error}); save it again") from error
    with file:
        names = set(file.keys())  # type: ignore[no-untyped-call]
        if "inputs" not in names or not names <= {"inputs", "targets"}:
            found = ", ".join(map(repr, sorted(names))) or "none"
            raise DataError(f"{path}: the tensors are {found}; name them 'inputs' and, for pairs, 'targets'")

        def matrix(name: str) -> Matrix:
            rows = file.get_slice(name)  # type: ignore[no-untyped-call]
            dtype = _SAFETENSORS_DTYPES.get(rows.get_dtype(), rows.get_dtype())
            return Matrix(
                f"{path}: tensor {name!r}",
                tuple(rows.get_shape()),
                dtype,
                lambda start, stop: rows[start:stop].float().clone().numpy(),
            )

        yield matrix("inputs"), matrix("targets") if "targets" in names else None
