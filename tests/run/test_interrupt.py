"""A signal that comes while a line is being logged must not wait for that line's lock."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import os, signal, sys
import structlog
from core_engine.log import configure_logging
from core_engine.run.interrupt import stop_on_signals

class Interrupted:
    sent = False
    def write(self, text):
        if not self.sent:
            self.sent = True
            os.kill(os.getpid(), signal.SIGINT)
        return sys.__stdout__.write(text)
    def flush(self):
        sys.__stdout__.flush()
    def isatty(self):
        return False

sys.stderr = Interrupted()
configure_logging()
with stop_on_signals() as request:
    structlog.get_logger("a").warning("a line")
    print("asked", request.asked(), request.asked(), request.signal)
"""


def test_a_signal_while_a_line_is_written() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False)
    assert "asked True True 2" in done.stdout, done.stderr
    assert done.stdout.count("stopping at this step") == 1
    assert done.returncode == 0
