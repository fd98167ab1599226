"""``core-engine compare RUN RUN... --data FILE``: finished runs beside one another on the same rows."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from core_engine.host.host import PluginHost


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("compare", parents=[common], help="finished runs beside one another on other data")
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="run folders; the first is the measure")
    parser.add_argument(
        "--data", metavar="FILE", type=Path, required=True, help="rows to score, as the runs' data sources read"
    )
    parser.add_argument(
        "--corpus", metavar="FILE", type=Path, help="texts to retrieve among, beside the answers in FILE"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array and nothing else")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    host = PluginHost.discover(arguments.disable_plugin)

    from core_engine.assembly.comparing import compare_runs
    from core_engine.cli.show import print_comparison
    from core_engine.run.result import json_safe

    found = compare_runs(arguments.runs, arguments.data, arguments.corpus, host)
    if arguments.json:
        print(json.dumps(json_safe(found), indent=2, allow_nan=False))
    else:
        print_comparison(found)
    return 0
