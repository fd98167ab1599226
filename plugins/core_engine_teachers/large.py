"""What models that do not fit on one device need besides this package."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from core_engine_teachers.options import EncoderOptions

INSTALL = 'pip install "core-engine[large]"'


def missing_libraries(options: EncoderOptions) -> Iterator[tuple[str, str]]:
    """``(option, what is wrong)`` for each option that needs a library which is not installed. Imports none."""
    if options.device_map is not None and not _installed("accelerate"):
        yield "device_map", f"needs the package accelerate: {INSTALL}"
    absent = [name for name in ("bitsandbytes", "accelerate") if not _installed(name)]
    if options.quantization is not None and absent:
        packages = f"package{'s' if len(absent) > 1 else ''} {' and '.join(absent)}"
        yield "quantization", f"{options.quantization} needs the {packages}: {INSTALL}"


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
