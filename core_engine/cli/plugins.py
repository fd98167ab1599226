"""``core-engine plugins``: what is installed, what each plugin supplies, and what failed to load."""

from __future__ import annotations

import argparse
import json
from typing import Any

from core_engine.contracts.component import Kind
from core_engine.contracts.hooks import HOOK_API
from core_engine.host.host import PluginHost


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("plugins", parents=[common], help="list plugins and their components")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    host = PluginHost.discover(arguments.disable_plugin)
    listing = _listing(host)
    if arguments.json:
        print(json.dumps(listing, indent=2))
    else:
        _print(host, listing)
    return 0


def _listing(host: PluginHost) -> dict[str, Any]:
    components = host.registry.all()
    return {
        "hook_api": HOOK_API,
        "plugins": [
            {
                "name": provider.plugin,
                "distribution": provider.distribution,
                "version": provider.version,
                "components": [
                    {"kind": str(c.kind), "name": c.name, "summary": c.component.summary}
                    for c in components
                    if c.provider == provider
                ],
            }
            for provider in host.plugins
        ],
        "failed": [
            {
                "name": failed.provider.plugin,
                "distribution": failed.provider.distribution,
                "version": failed.provider.version,
                "reason": failed.reason,
            }
            for failed in host.failed
        ],
        "conflicts": host.registry.conflicts(),
        "disabled": host.disabled,
    }


def _print(host: PluginHost, listing: dict[str, Any]) -> None:
    print("plugins")
    for provider in host.plugins:
        print(f"  {provider}")
    for kind in Kind:
        rows = [c for c in host.registry.all() if c.kind is kind]
        if rows:
            print(kind)
        for row in rows:
            print(f"  {row.name:<14} {row.component.summary}  ({row.provider})")
    for failed in host.failed:
        print(f"failed: {failed.provider}: {failed.reason}")
    for conflict in host.registry.conflicts():
        print(f"conflict: {conflict}")
    if host.disabled:
        print(f"disabled: {', '.join(host.disabled)}")
