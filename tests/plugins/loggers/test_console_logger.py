"""The console logger in a real pseudo-terminal, and where stderr is none."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

RUN = """
import json, sys
from pathlib import Path
import structlog
from core_engine import LoggerContext, Record
from core_engine.log import configure_logging
from core_engine_loggers.config import Console

configure_logging()
log = structlog.get_logger("trial")
logger = Console().build(LoggerContext(Path("."), "[bold]trial", total_steps={total}, resumed_step={resumed}))
values = {{"recall@1": 0.25, "cosine": 0.8123456, "corpus": 12.0}}
log.info("before the first step")
{body}
logger.close()
log.info("after the run")
print(json.dumps({{"done": True}}))
"""
LOOP = """
for step in range(1, {total} + 1):
    logger.progress(step)
    if step % 10 == 0:
        logger.log(Record("train", step, step / 10, {{"loss": 1 / step}}))
        log.info("checkpoint written", number=step)
        print(f"beware of {{step}}", file=sys.stderr)
        logger.log(Record("evaluation", step, step / 10, values))
"""


def script(body: str = LOOP, total: int = 40, resumed: int | None = None) -> list[str]:
    text = RUN.format(total=total, resumed=resumed, body=textwrap.dedent(body).format(total=total))
    return [sys.executable, "-c", text]


class Screen:
    """As much of a terminal as rich makes use of; wide enough that no line wraps. Unknown codes are an error."""

    def __init__(self, text: str) -> None:
        self.lines = [""]
        self.row = self.column = 0
        for code, parameter, letter, plain in re.findall(r"(\x1b\[\??([\d;]*)([A-Za-z]))|([^\x1b])", text):
            if code:
                self._control(parameter, letter)
            else:
                self._put(plain)

    def _control(self, parameter: str, letter: str) -> None:
        if letter == "A":
            self.row -= int(parameter or 1)
        elif letter == "K":
            assert parameter == "2"
            self.lines[self.row] = ""
        else:
            assert letter in "mhl", f"unknown control code {letter}"

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    @property
    def text(self) -> list[str]:
        return [line.rstrip() for line in self.lines if line.strip()]


def on_terminal(command: list[str], folder: Path, columns: int = 120, **environment: str) -> tuple[str, str]:
    """What the command writes to a terminal that is its stderr, and to stdout, which is a pipe."""
    pty = pytest.importorskip("pty")
    fcntl = pytest.importorskip("fcntl")
    termios = pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    variables = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, cwd=folder, env=variables | {"TERM": "xterm"} | environment
    )
    os.close(theirs)
    received = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # Linux's way of saying that the other end was closed
            break
        if not data:
            break
        received += data
    os.close(ours)
    stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 0, received.decode()
    return received.decode(), stdout.decode()


def test_bar_and_lines_do_not_collide(tmp_path: Path) -> None:
    received, stdout = on_terminal(script(), tmp_path)
    lines = Screen(received).text
    assert json.loads(stdout) == {"done": True}
    bars = [number for number, line in enumerate(lines) if line.startswith("[bold]trial")]
    assert bars == [len(lines) - 2], lines
    bar = lines[bars[0]]
    assert "40/40" in bar
    assert "loss 0.0250" in bar
    assert re.search(r"\d steps/s", bar)
    assert re.search(r"\d:\d\d:\d\d", bar)
    assert lines[0].endswith("before the first step")
    assert lines[-1].endswith("after the run")
    for step in (10, 20, 30, 40):
        assert sum(bool(re.fullmatch(rf"\S+ .*checkpoint written +number={step}", line)) for line in lines) == 1
        assert sum(line == f"beware of {step}" for line in lines) == 1
        assert f"epoch {step // 10}  step {step}  cosine 0.8123  recall@1 0.2500" in lines
    assert len(lines) == 1 + 3 * 4 + 1 + 1, lines
    assert received.count("\x1b[?25l") == received.count("\x1b[?25h") == 1, "the cursor is hidden once and given back"


def test_bar_is_there_while_the_run_goes_on(tmp_path: Path) -> None:
    received, _ = on_terminal(script(), tmp_path)
    shown = [Screen(received[: match.end()]).text for match in re.finditer(r"\d+/40", received)]
    assert len(shown) >= 40
    assert all(sum("[bold]trial" in line for line in screen) == 1 for screen in shown)


def test_bar_stays_on_one_line_where_there_is_little_room(tmp_path: Path) -> None:
    received, _ = on_terminal(script(), tmp_path, columns=50)
    lines = Screen(received).text
    bars = [line for line in lines if line.startswith("[bold]trial")]
    assert len(bars) == 1
    assert len(bars[0]) <= 50
    assert lines[-2:] == [bars[0], lines[-1]]
    assert "after the run" in lines[-1]


def test_stdout_that_is_no_terminal_is_left_alone(tmp_path: Path) -> None:
    body = """
    logger.progress(1)
    print("for the pipe")
    """
    received, stdout = on_terminal(script(body), tmp_path)
    assert stdout.startswith("for the pipe\n")
    assert "for the pipe" not in received


def test_resumed_run_starts_where_it_goes_on(tmp_path: Path) -> None:
    body = """
    logger.progress(31)
    """
    received, _ = on_terminal(script(body, resumed=30), tmp_path)
    assert "30/40" in received
    assert "31/40" in received


def test_run_that_ends_before_its_first_step_shows_no_bar(tmp_path: Path) -> None:
    received, _ = on_terminal(script("pass"), tmp_path)
    assert "trial" not in received


def test_evaluation_without_main_figures_shows_all(tmp_path: Path) -> None:
    body = """
    logger.log(Record("evaluation", 0, 0.0, {{"own": 0.5, "other": 2.0}}))
    """
    received, _ = on_terminal(script(body), tmp_path)
    assert "epoch 0  step 0  own 0.5000  other 2.0000" in Screen(received).text


def test_without_a_terminal_there_are_only_events(tmp_path: Path) -> None:
    done = subprocess.run(script(), capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60)
    assert json.loads(done.stdout) == {"done": True}
    assert "\x1b" not in done.stderr
    assert "trial" not in done.stderr
    events = [line for line in done.stderr.splitlines() if re.search(r"\[info +\] evaluation\b", line)]
    assert len(events) == 4
    assert all(re.search(r"cosine=0\.8123 ", line) and "recall@1=0.25" in line for line in events)
    assert "step=10" in events[0]
    assert "epoch=1.0" in events[0]
    assert "corpus" not in done.stderr


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TTY_INTERACTIVE": "0"}])
def test_terminal_that_cannot_move_its_cursor_gets_events(environment: dict[str, str], tmp_path: Path) -> None:
    received, _ = on_terminal(script(), tmp_path, **environment)
    assert "/40" not in received
    assert received.count("evaluation") == 4


def test_forced_colours_make_no_terminal(tmp_path: Path) -> None:
    environment = os.environ | {"FORCE_COLOR": "1"}
    done = subprocess.run(
        script(), capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60, env=environment
    )
    assert "/40" not in done.stderr
