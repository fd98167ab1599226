from __future__ import annotations

import subprocess
import sys

import core_engine_reshapes
from core_engine_reshapes import Linear, Projection


def test_plugin_supplies_both_reshapes() -> None:
    assert [(c.name, c.config) for c in core_engine_reshapes.reshapes()] == [
        ("linear", Linear),
        ("projection", Projection),
    ]


def test_listing_reshapes_and_kernels_does_not_import_torch() -> None:
    code = "import sys, core_engine_reshapes, core_engine_kernels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
