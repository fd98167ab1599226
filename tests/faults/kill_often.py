"""Kills a run with SIGKILL at random moments of its training, again and again, and lets it end; prints what it saw.

    python kill_often.py FOLDER KILLS

Each try is a process of its own, forked once everything is imported: a start from nothing takes seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import torch
import torch._dynamo  # which the first step imports otherwise, for seconds
from small_run import small_engine


def whole_run(output: Path) -> Path:
    torch.set_num_threads(1)
    result = small_engine(output).run("auto")
    assert result is not None
    return result.run_dir


def killed_run(output: Path, steps: int, delay: float) -> bool:
    """Starts or resumes the run, and kills it so many seconds after so many steps. False where it ended before."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)

        def tell(step: int) -> bool:
            os.write(writing, b"x")
            return False

        code = 1
        try:
            torch.set_num_threads(1)
            small_engine(output).run("auto", should_stop=tell)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        told.read(steps)  # less where the run ended before
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)  # before the pipe is closed, which the run would die of otherwise
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        return False
    return True


def main(folder: Path, kills: int) -> None:
    moments = random.Random(0)
    killed = 0
    while killed < kills:
        # Counted in steps: however fast the machine is, the run lasts for all the kills.
        if not killed_run(folder / "killed", moments.randint(1, 3), moments.uniform(0, 0.005)):
            break
        killed += 1
    print(json.dumps({"kills": killed, "run_dir": str(whole_run(folder / "killed"))}), flush=True)
    print(json.dumps({"run_dir": str(whole_run(folder / "straight"))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
