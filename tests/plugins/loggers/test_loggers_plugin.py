from __future__ import annotations

import subprocess
import sys

import core_engine_loggers


def test_names_and_summaries() -> None:
    components = core_engine_loggers.loggers()
    names = [component.name for component in components]
    assert names == ["console", "jsonl", "csv", "tensorboard", "mlflow", "wandb", "trace"]
    assert all(component.summary for component in components)


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, core_engine_loggers; core_engine_loggers.loggers()\n"
        "assert not {'torch', 'rich', 'structlog', 'tensorboard', 'mlflow', 'wandb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
