"""The data source ``embeddings``: ready embeddings, without a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from attrs import frozen

from core_engine import DataSourceContext, Example
from core_engine_data.files import problem_with


@frozen
class Embeddings:
    """Ready embeddings from .npy or .safetensors files.

    - ``.npy``: ``inputs`` and, for pairs, ``targets`` are files of one array each.
    - ``.safetensors``: ``inputs`` is a file with a tensor named ``inputs`` and, for pairs, one named ``targets``.

    Arrays are ``[rows, dimensions]`` of float16, bfloat16 (``.safetensors`` only), float32 or float64. Those in
    ``.npy`` files are mapped, not loaded, and so may be larger than memory. ``groups``: a ``.txt`` file with the name
    of each row's group on a line of its own.
    """

    yields_embeddings: ClassVar[bool] = True

    inputs: Path
    targets: Path | None = None
    groups: Path | None = None

    def check(self) -> Iterator[tuple[str, str]]:
        one_file = self.inputs.suffix.lower() == ".safetensors"
        problem = problem_with(self.inputs, (".npy", ".safetensors"))
        if problem:
            yield "inputs", problem
        if self.targets is not None and one_file:
            yield "targets", "with a .safetensors file, targets are its tensor 'targets'; leave this out"
        elif self.targets is not None and (problem := problem_with(self.targets, (".npy",))):
            yield "targets", problem
        if self.groups is not None and (problem := problem_with(self.groups, (".txt",))):
            yield "groups", problem

    def build(self, context: DataSourceContext) -> EmbeddingFiles:
        return EmbeddingFiles(self)


@frozen
class EmbeddingFiles:
    config: Embeddings

    def read(self) -> Iterator[Example]:
        """Examples of one or two arrays ``[D]``. DataError for files that hold something else."""
        from core_engine_data.embedding_rows import embedding_examples

        yield from embedding_examples(self.config)
