"""``core-engine evaluate RUN --data FILE``: score a finished run on other data."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from core_engine.host.host import PluginHost


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("evaluate", parents=[common], help="score a finished run on other data")
    parser.add_argument("run_dir", metavar="RUN", type=Path, help="run folder")
    parser.add_argument(
        "--data", metavar="FILE", type=Path, required=True, help="rows to score, as the run's data source reads"
    )
    parser.add_argument(
        "--corpus", metavar="FILE", type=Path, help="texts to retrieve among, beside the answers in FILE"
    )
    parser.add_argument("--by-group", action="store_true", help="list the figures of each group, worst first")
    parser.add_argument(
        "--history", action="store_true", help="what conversations' earlier turns are worth; embeds questions alone"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    host = PluginHost.discover(arguments.disable_plugin)

    from core_engine.assembly.scoring import score_run
    from core_engine.cli.show import print_groups, print_history, print_table
    from core_engine.run.result import json_safe

    scores = score_run(
        arguments.run_dir,
        arguments.data,
        arguments.corpus,
        host,
        by_group=arguments.by_group,
        history=arguments.history,
    )
    if arguments.json:
        print(json.dumps(json_safe(scores), indent=2, allow_nan=False))
    else:
        print_table({"core": scores["test"], **scores["baselines"]})
        print(f"rows: {scores['data']['rows']['test']}")
        ranges = [f"{name} {low:.3f} to {high:.3f}" for name, (low, high) in scores["intervals"].items() if low <= high]
        print(f"95 % intervals of the core's figures: {', '.join(ranges) or 'none, since all rows are of one group'}")
        for baseline, ahead in scores["ahead"].items():
            told = [f"{name} {by:+.3f} ({low:+.3f} to {high:+.3f})" for name, (by, low, high) in ahead.items()]
            if ranges:
                print(f"ahead of {baseline}, row against row: {', '.join(told)}")
        print("Nothing checks whether training has seen these rows; if it has, the figures say little.")
        print("\nthe space of the outputs, beside the teacher's own answers:")
        print_table(scores["space"])
        if "history" in scores:
            print_history(scores["history"])
        if "groups" in scores:
            print("\nby group, worst first:")
            print_groups(scores["groups"])
    return 0
