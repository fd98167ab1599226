from __future__ import annotations

import os
import signal
from pathlib import Path

# Before torch is imported: workers side by side, and the commands they start, would fight over the cores with more.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# A shell that starts tests in the background has them ignore it, and so would the commands that they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes says more of the machine than of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One embedding store for the session, shared by parallel workers, and none of the user's."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    os.environ["CORE_ENGINE_CACHE"] = str(base / "core-engine-cache")
    os.environ.pop("CORE_ENGINE_DISABLE_PLUGINS", None)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data sets; a test that asks for them is marked ``data``."""
    folder = os.environ.get("CORE_ENGINE_DATA")
    if not folder:
        pytest.skip("CORE_ENGINE_DATA names no folder with the real data sets")
    return Path(folder)


@pytest.fixture
def fresh_compiler() -> None:
    """torch.compile stops at the eighth variant of one function, and all bundled cells share some."""
    import torch

    torch.compiler.reset()
