"""`celldag plan`: have plan.yaml fit params.yaml, and say what changed."""

import argparse
from collections.abc import Iterator
from typing import Any

from pipeline.core import paths
from pipeline.core.wording import listed
from pipeline.plan import Plan, make_plan, read_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(_: argparse.Namespace) -> None:
    """Plan, and print which studies, folds, runs and points are more or less than before."""
    before = read_plan()
    make_plan()
    print("\n".join(changes(before, read_plan())) or f"{paths.PLAN} fits {paths.PARAMS} already")


def changes(before: Plan, after: Plan) -> list[str]:
    """A line for each kind of entries that changed."""
    old, new = dict(_entries(before)), dict(_entries(after))
    lines = []
    for kind in (*new, *(kind for kind in old if kind not in new)):
        was, now = old.get(kind, {}), new.get(kind, {})
        parts = [
            f"{len(names):,} {noun}: {listed(names, 5)}"
            for noun, names in (
                ("new", [name for name in now if name not in was]),
                ("gone", [name for name in was if name not in now]),
                ("changed", [name for name in now if name in was and was[name] != now[name]]),
            )
            if names
        ]
        if parts:
            lines.append(f"{kind}: {'; '.join(parts)}")
    return lines


def _entries(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries of each kind by their keys; what a system has of its own under its name."""
    for kind, entries in plan.items():
        own = all(isinstance(inside, dict) and key in ("runs", "points") for key, inside in entries.items())
        if own and entries:
            yield from ((f"{kind}.{name}", inside) for name, inside in entries.items())
        else:
            yield kind, entries
