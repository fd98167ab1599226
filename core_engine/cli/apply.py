"""``core-engine apply RUN --input FILE --output FILE``: run texts or embeddings through a trained core."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from core_engine.host.host import PluginHost


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("apply", parents=[common], help="run texts or embeddings through a trained core")
    parser.add_argument("run_dir", metavar="RUN", type=Path, help="run folder")
    parser.add_argument(
        "--input",
        metavar="FILE",
        type=Path,
        required=True,
        help="texts (.txt, .jsonl) or embeddings (.npy, .safetensors)",
    )
    parser.add_argument("--output", metavar="FILE", type=Path, required=True, help="embeddings (.npy or .safetensors)")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    host = PluginHost.discover(arguments.disable_plugin)

    from core_engine.assembly.applying import apply_run

    rows = apply_run(arguments.run_dir, arguments.input, arguments.output, host)
    print(f"{rows} embeddings written to {arguments.output}")
    return 0
