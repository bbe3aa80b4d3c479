"""`celldag completion SHELL`: a script that completes commands, options and paths."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import shtab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shells = shtab.SUPPORTED_SHELLS
    parser.add_argument("shell", metavar="SHELL", choices=shells, help="whose script to print: %(choices)s")


def run(arguments: argparse.Namespace) -> None:
    """Print the script, made from the parsers of all commands."""
    from pipeline.cli import full_parser  # which imports this module

    parser = full_parser()
    for action in _actions(parser):
        if action.type is Path:
            action.complete = shtab.DIRECTORY if action.metavar == "FOLDER" else shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=arguments.shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every option and argument of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
