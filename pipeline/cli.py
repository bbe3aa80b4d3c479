"""`celldag COMMAND`, or `python -m pipeline COMMAND`: the one entry for people. Stages have `pipeline.stage`."""

import argparse
import contextlib
import difflib
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pipeline import __version__
from pipeline.core import paths
from pipeline.core.entry import escape_unprintable, guarded
from pipeline.core.errors import ExpectedError

# Module and help of each command. Only the module of the command that is asked for gets imported.
COMMANDS = {
    "predict": ("pipeline.cfm_vc.commands.predict", "predict what new cells would look like under a perturbation"),
    "latent": ("pipeline.cfm_vc.commands.latent", "embed new cells in the latent space of a trained model"),
    "decode": ("pipeline.cfm_vc.commands.decode", "decode latents to cells"),
    "sample": ("pipeline.alphastomics.commands.sample", "place cells in a tissue, or tell the expression at places"),
    "forecast": ("pipeline.mole.commands.forecast", "forecast the rows that follow the last ones of a CSV file"),
    "train": (
        "pipeline.alphastomics.commands.train",
        "train once outside the DAG, with parameters of the command line",
    ),
    "compare": (
        "pipeline.alphastomics.commands.compare",
        "print how many parameters spatial networks have and activate",
    ),
    "fetch": ("pipeline.commands.fetch", "download a public data set and put it under DVC"),
    "explain": ("pipeline.commands.explain", "say for each stage whether it would run and why"),
    "repair": ("pipeline.commands.repair", "mend what a killed run left of DVC's own files"),
    "schema": ("pipeline.commands.schema", "print the JSON schema of params.yaml"),
    "dag": ("pipeline.commands.dag", "draw the DAG of dvc.yaml"),
    "track": ("pipeline.tracking.command", "mirror the working tree or a past commit into MLflow"),
    "completion": ("pipeline.commands.completion", "print a script that completes commands and options in your shell"),
}
# What these print is what they are for; the others write files, and --quiet leaves out what they say of it.
PRINTED = frozenset({"compare", "completion", "dag", "explain", "schema"})
NEED_PROJECT = frozenset({"dag", "explain", "fetch", "repair", "track"})


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0, or 2 with one message where something expected is wrong."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `python -m pipeline schema | head` is no error
    escape_unprintable()
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(given)
    parsed, unknown = parser.parse_known_args(given)
    if unknown:
        _refuse(parsed.parser, unknown)
    guarded(lambda: _run(parsed), parsed.debug)


def _run(parsed: argparse.Namespace) -> None:
    """Run a command, with --quiet without a word of progress or of what it did. ExpectedError: it needs a project."""
    if parsed.command in NEED_PROJECT and not paths.DVC_YAML.is_file():
        raise ExpectedError(f"no {paths.DVC_YAML} here: `{parsed.command}` works on a project; run it from its root")
    lists = parsed.command == "fetch" and parsed.name is None
    if not parsed.quiet or parsed.command in PRINTED or lists:
        parsed.run(parsed)
        return
    os.environ["TQDM_DISABLE"] = "1"
    with contextlib.redirect_stdout(io.StringIO()):
        parsed.run(parsed)


def full_parser() -> argparse.ArgumentParser:
    """The parser of all commands with all their options, whose modules it imports."""
    return _parser([], complete=True)


def _parser(given: Sequence[str], complete: bool = False) -> argparse.ArgumentParser:
    """The parser of the command that is asked for; the others have a name and a line of help alone."""
    prog = "celldag" if Path(sys.argv[0]).stem == "celldag" or complete else "python -m pipeline"
    parser = argparse.ArgumentParser(
        prog=prog, description="Celldag's commands; the DAG itself is run by dvc repro or snakemake."
    )
    parser.add_argument("--version", action="version", version=f"celldag {__version__}")
    parser.add_argument("--debug", action="store_true", help="show a traceback where something expected is wrong")
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors, warnings and what was asked for")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    asked = next((word for word in given if not word.startswith("-")), None)
    if asked is not None and asked not in COMMANDS:
        close = difflib.get_close_matches(asked, COMMANDS, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}"
        parser.error(f"no command {asked!r}; {advice}")
    for name, (module_name, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        for option in ("--debug", "--quiet"):
            subparser.add_argument(option, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if name == asked or complete:
            module = importlib.import_module(module_name)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run, parser=subparser)
    return parser


def _refuse(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> NoReturn:
    """End with a message on what a command does not take, and the option that may be meant."""
    option = unknown[0].partition("=")[0]
    known = parser._option_string_actions if option.startswith("-") else {}
    close = difflib.get_close_matches(option, known, n=1, cutoff=0.7)
    parser.error(f"unrecognized arguments: {' '.join(unknown)}" + (f"; did you mean {close[0]}?" if close else ""))
