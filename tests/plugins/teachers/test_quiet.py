"""transformers talks a great deal; none of it may reach the terminal, and none of its settings may stay changed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = """
import sys, structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
from core_engine import TeacherContext
from core_engine_teachers import HuggingFace
teacher = HuggingFace(model=sys.argv[1], max_length=8, too_long="cut").build(TeacherContext(device="cpu"))
teacher.encode(["two dogs", "dogs " * 5000])
"""


def test_a_normal_run_prints_nothing(tiny_model: Callable[[str], Path]) -> None:
    # RoBERTa: its missing pooler and unused head make transformers print a report.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "default", "-c", SCRIPT, str(tiny_model("roberta"))]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (answer.stdout, answer.stderr) == ("", "")


def test_settings_are_as_before_afterwards() -> None:
    from core_engine_teachers.quiet import quiet
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    def state() -> tuple[int, int, bool]:
        bars = transformers_logging.is_progress_bar_enabled()
        return hub_logging.get_verbosity(), transformers_logging.get_verbosity(), bars

    def fail_inside() -> None:
        with quiet():
            warnings.warn("hidden", stacklevel=1)
            assert state() == (logging.ERROR, logging.ERROR, False)
            raise KeyError

    transformers_logging.enable_progress_bar()
    before = state()
    with pytest.raises(KeyError):
        fail_inside()
    assert state() == before
    with pytest.raises(UserWarning):
        warnings.warn("shown", stacklevel=1)
