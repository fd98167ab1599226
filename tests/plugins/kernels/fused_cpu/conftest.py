from __future__ import annotations

import pytest
from core_engine_kernels.fused_cpu.library import LibraryMissingError, instruction_sets

try:
    SETS = list(instruction_sets())
    REASON = ""
except LibraryMissingError as error:
    SETS, REASON = [], str(error)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the compiled library, what needs it is skipped; the other tests in this folder say that it is missing."""
    if REASON:
        for item in items:
            if "fused_cpu" in str(item.path) and "without_the_library" not in item.name:
                item.add_marker(pytest.mark.skip(reason=REASON))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``isa``: every instruction set that this processor can run."""
    if "isa" in metafunc.fixturenames:
        metafunc.parametrize("isa", SETS or ["none"])
