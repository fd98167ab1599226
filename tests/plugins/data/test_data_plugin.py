"""What the plugin declares."""

from __future__ import annotations

import subprocess
import sys

import core_engine_data
from core_engine_data import Quickstart

from core_engine import DataSource, DataSourceContext


def test_the_components_are_there() -> None:
    components = core_engine_data.data_sources()
    assert [c.name for c in components] == ["dialogues", "texts", "embeddings", "quickstart", "expand"]
    assert all(c.summary.endswith(".") for c in components)
    assert isinstance(Quickstart().build(DataSourceContext(seed=0)), DataSource)


def test_the_plugin_loads_nothing_heavy() -> None:
    code = "import sys, core_engine_data; print({'torch', 'numpy', 'transformers', 'safetensors'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
