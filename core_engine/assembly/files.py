"""Files named on the command line, read and written without a recipe."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from core_engine.contracts.component import Kind
from core_engine.contracts.contexts import DataSourceContext
from core_engine.contracts.objects import DataSource
from core_engine.errors import DataError, OutputError
from core_engine.host.host import PluginHost

EMBEDDING_SUFFIXES = (".npy", ".safetensors")


def file_source(path: Path, host: PluginHost, texts: str) -> DataSource:
    """A source for a file: ``embeddings`` for arrays, else the data source named by ``texts``. DataError if
    unreadable.
    """
    embeddings = path.suffix.lower() in EMBEDDING_SUFFIXES
    component = host.registry.get(Kind.DATA_SOURCE, "embeddings" if embeddings else texts).component
    config = component.config(**{"inputs" if embeddings else "path": path})
    for _, what in config.check():
        raise DataError(what)
    source: DataSource = config.build(DataSourceContext(seed=0))
    return source


def embedding_writer(path: Path) -> Callable[[Tensor], None]:
    """A function that writes float32 ``[n, D]`` to ``path``, whole or not at all. OutputError at once if it never
    could.
    """
    suffix = path.suffix.lower()
    if suffix not in EMBEDDING_SUFFIXES:
        raise OutputError(f"{path}: embeddings are written as {' or '.join(EMBEDDING_SUFFIXES)}; name the output so")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.absolute().parent}; make it first")

    def write(rows: Tensor) -> None:
        beside = path.with_name(f".{path.stem}.{os.getpid()}{suffix}")
        try:
            if suffix == ".npy":
                np.save(beside, rows.numpy())
            else:
                save_file({"embeddings": rows.contiguous()}, beside)
            beside.replace(path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error

    return write
