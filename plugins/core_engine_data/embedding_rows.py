"""Examples out of matrices of embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core_engine import Example
from core_engine.errors import DataError
from core_engine_data.embeddings import Embeddings
from core_engine_data.files import opened, text_lines
from core_engine_data.matrices import Matrix, npy_matrix, safetensors_matrices

_BLOCK = 1024


def embedding_examples(config: Embeddings) -> Iterator[Example]:
    for option, problem in config.check():
        raise DataError(f"{option}: {problem}")
    if config.inputs.suffix.lower() == ".safetensors":
        with safetensors_matrices(config.inputs) as (inputs, targets):
            yield from _examples(config, inputs, targets)
    else:
        targets = None if config.targets is None else npy_matrix(config.targets)
        yield from _examples(config, npy_matrix(config.inputs), targets)


def _examples(config: Embeddings, inputs: Matrix, targets: Matrix | None) -> Iterator[Example]:
    if targets is not None and targets.rows != inputs.rows:
        raise DataError(
            f"{targets.name}: {targets.rows} rows, but {inputs.rows} in {inputs.name}; row i of both must be a pair"
        )
    groups = None if config.groups is None else _groups(config.groups, inputs)
    for start in range(0, inputs.rows, _BLOCK):
        stop = min(start + _BLOCK, inputs.rows)
        input_block = inputs.finite(start, stop)
        target_block = None if targets is None else targets.finite(start, stop)
        for offset, row in enumerate(range(start, stop)):
            yield Example(
                f"{config.inputs.name}:{row}",
                input_block[offset],
                None if target_block is None else target_block[offset],
                None if groups is None else groups[row],
            )


def _groups(path: Path, inputs: Matrix) -> list[str]:
    groups = []
    with opened(path) as stream:
        for number, line in text_lines(stream, path):
            group = line.strip()
            if not group:
                raise DataError(f"{path}:{number}: a blank line; write the name of that row's group")
            groups.append(group)
    if len(groups) != inputs.rows:
        raise DataError(f"{path}: {len(groups)} lines, but {inputs.rows} rows in {inputs.name}; write one line a row")
    return groups
