"""Runs a file of texts or embeddings through a trained core."""

from __future__ import annotations

from pathlib import Path

from core_engine.assembly.files import embedding_writer, file_source
from core_engine.assembly.trained import load_core
from core_engine.data.read import read_examples
from core_engine.data.vectors import Vectors
from core_engine.host.host import PluginHost


def apply_run(run_dir: Path, source: Path, output: Path, host: PluginHost) -> int:
    """Writes one embedding for each row of ``source``, in its order, and returns how many."""
    write = embedding_writer(output)
    rows = read_examples(file_source(source, host, texts="texts"), "input")
    trained = load_core(run_dir, host=host)
    texts = [row.input for row in rows if isinstance(row.input, str)]
    if texts:
        write(trained.encode(texts).cpu())
    else:
        write(trained(Vectors([], None)([row.input for row in rows])))
    return len(rows)
