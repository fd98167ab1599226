from __future__ import annotations

import subprocess
import sys
from typing import Any

import core_engine_losses
import pytest
from core_engine_losses.config import Combined, Huber, InfoNCE, Triplet, Uniformity

from core_engine import Ramp


def test_names_and_summaries() -> None:
    components = core_engine_losses.losses()
    assert [component.name for component in components] == [
        *("cosine", "mse", "huber", "combined", "triplet", "info_nce", "uniformity", "curriculum"),
        *("similarity_distillation", "relational_distillation", "matryoshka", "multi_teacher"),
    ]
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
        (InfoNCE, {"temperature": Ramp(0.1, 0.0)}, "temperature"),
        (InfoNCE, {"temperature": Ramp(0.1, 0.05), "learned_temperature": True}, "starts from a number"),
        (InfoNCE, {"temperature": 0.005, "learned_temperature": True}, "stays at 0.01 or above"),
        (InfoNCE, {"label_smoothing": 1.0}, "label_smoothing"),
        (Triplet, {"margin": -0.1}, "margin"),
        (Triplet, {"margin": Ramp(0.1, float("inf"))}, "margin"),
        (Huber, {"delta": 0.0}, "delta"),
        (Uniformity, {"t": 0.0}, "'t'"),
    ],
)
def test_bad_options_are_refused(config: type[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**options)


def test_importing_the_plugin_imports_no_torch() -> None:
    code = "import sys, core_engine_losses; core_engine_losses.losses(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
