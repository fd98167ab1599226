from __future__ import annotations

import subprocess
import sys
from typing import Any

import core_engine_losses
import pytest
from core_engine_losses.config import Combined, InfoNCE


def test_names_and_summaries() -> None:
    components = core_engine_losses.losses()
    assert [component.name for component in components] == ["cosine", "mse", "combined", "info_nce"]
    assert all(component.summary for component in components)


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (Combined, {"cosine_weight": 0.0, "mse_weight": 0.0}, "both 0"),
        (Combined, {"cosine_weight": -1.0}, "cosine_weight"),
        (Combined, {"mse_weight": float("inf")}, "mse_weight"),
        (InfoNCE, {"temperature": 0.0}, "temperature"),
        (InfoNCE, {"temperature": float("nan")}, "temperature"),
        (InfoNCE, {"temperature": float("inf")}, "temperature"),
    ],
)
def test_bad_options_are_refused(config: type[Any], options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**options)


def test_importing_the_plugin_imports_no_torch() -> None:
    code = "import sys, core_engine_losses; core_engine_losses.losses(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
