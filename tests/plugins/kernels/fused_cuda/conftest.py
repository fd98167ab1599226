"""The folder of compiled emulators, one for a whole test session."""

from __future__ import annotations

from pathlib import Path

import pytest
from cuda_emulator import COMPILER


@pytest.fixture(scope="session")
def emulator_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("the emulator of the CUDA kernels needs g++")
    return tmp_path_factory.mktemp("cuda_emulator")
