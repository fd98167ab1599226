from __future__ import annotations

import json
from pathlib import Path

import pytest

from core_engine import Engine

SCRIPT = "<script>alert('owned')</script>"
#: What a text may hold that a page must not take for its own.
HOSTILE = (
    SCRIPT,
    '"><img src=https://example.com/x.png onerror=alert(1)>',
    "{{ 7 * 7 }} {% raw %} &amp; </style></pre></bdi>",
    "a null \x00 and a bell \x07, $x_1$ in mathematics",
    "\u202eright to left\u202c, می‌خواهم, 👩‍🚀",
    "long " * 110,
)


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on texts that mean ill, in groups named so too."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = [
        {
            "question": f"{HOSTILE[number % 6]} question {number}?",
            "answer": f"{HOSTILE[(number + 1) % 6]} answer {number // 2}",
            "group": f"{SCRIPT} {number // 4}",
        }
        for number in range(80)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "hostile",
        "teachers": {"minilm": {"type": "minilm"}},
        "teacher": "minilm",
        "mode": {"type": "dialogue"},
        "data": {
            "train": {"type": "dialogues", "path": str(folder / "rows.jsonl")},
            "split": {"validation": 0.2, "test": 0.5},
        },
        "reshape": {"type": "linear", "channels": 24},
        "lattice": {"size": [4, 2, 2], "channels": 26, "steps": 3, "kernel": {"type": "stencil", "hidden": 16}},
        "loss": [{"type": "info_nce"}],
        "train": {"epochs": 2, "batch_size": 16},
        "evaluation": {"baselines": ["identity", "mean_shift", "ridge"]},
        "loggers": [{"type": "jsonl"}],
        "output": str(folder / "runs"),
    }
    result = Engine.from_recipe(recipe).run()
    assert result is not None
    return result.run_dir
