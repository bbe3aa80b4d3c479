"""Shared by benchmarks with several tables: which to print, threads, and the machine."""

import argparse
import platform
from collections.abc import Callable, Mapping

import torch

from benchmarks.processes import load


def print_tables(
    description: str | None,
    tables: Mapping[str, Callable[[argparse.Namespace], None]],
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None,
) -> None:
    """Print the tables named on the command line; each gets `quick`, `threads` and what `add_arguments` adds."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(tables), metavar="A,B", help="of %(default)s")
    parser.add_argument("--quick", action="store_true", help="few turns, to see that it runs")
    parser.add_argument("--threads", type=int, default=2)
    add_arguments(parser)
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if not set(wanted) <= set(tables):
        parser.error(f"--only {arguments.only}: there are {', '.join(tables)}")
    torch.set_num_threads(arguments.threads)
    print(
        f"{load()}; {arguments.threads} threads, torch {torch.__version__}, Python {platform.python_version()}",
        flush=True,
    )
    for name in wanted:
        print(f"\n### {name}\n", flush=True)
        tables[name](arguments)
