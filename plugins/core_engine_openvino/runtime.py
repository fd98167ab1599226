"""The OpenVINO library: brought in without its telemetry, and what this machine can do with it."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from core_engine.errors import TeacherError

Precision = Literal["float32", "bfloat16"]

INSTALL = 'pip install "core-engine[openvino]"'
#: It reports to its makers at import and at each conversion, unless this package of it is not there.
_TELEMETRY = "openvino_telemetry"


def installed() -> bool:
    return find_spec("openvino") is not None


def load_openvino() -> Any:
    """The module ``openvino``, which sends nothing unless this process has imported it before on its own."""
    if not installed():
        raise TeacherError(f"the package openvino is not installed: {INSTALL}")
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    before = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # an import of it fails, and openvino goes on without
    try:
        return import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]
        if before is not None:
            sys.modules[_TELEMETRY] = before


def require_bfloat16() -> None:
    """TeacherError unless the processor computes in bfloat16 by itself."""
    able = load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "BF16" not in able:
        raise TeacherError(
            "precision: bfloat16 needs a processor with bfloat16 instructions (AVX512-BF16 or AMX), which this one "
            "has not: set precision: float32"
        )
