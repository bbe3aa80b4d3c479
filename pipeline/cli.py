"""`celldag COMMAND`, or `python -m pipeline COMMAND`: the command line. Stages are started by `pipeline.stage`."""

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from pipeline import __version__
from pipeline.commands.program import program
from pipeline.core import paths
from pipeline.core.entry import escape_unprintable, guarded
from pipeline.core.errors import ExpectedError
from pipeline.core.wording import closest, did_you_mean

# Module and help of each command. Only the module of the requested command is imported.
COMMANDS = {
    "new": ("pipeline.commands.new", "look into data, and write a study of them into params.yaml"),
    "add": ("pipeline.commands.add", "add the studies of a YAML file to params.yaml"),
    "plan": ("pipeline.commands.plan", "have plan.yaml fit params.yaml, and say what changed"),
    "run": ("pipeline.commands.run", "run studies up to their pages, or everything"),
    "predict": ("pipeline.cfm_vc.commands.predict", "predict how new cells respond to a perturbation"),
    "latent": ("pipeline.cfm_vc.commands.latent", "embed new cells in the latent space of a trained model"),
    "decode": ("pipeline.cfm_vc.commands.decode", "decode latents to expression"),
    "sample": (
        "pipeline.alphastomics.commands.sample",
        "predict cell positions in a tissue, or expression at positions",
    ),
    "forecast": ("pipeline.mole.commands.forecast", "forecast the rows that follow the last ones of a CSV file"),
    "cross-validate": (
        "pipeline.mole.commands.cross_validate",
        "forecast from earlier cutoffs of a CSV file, beside what then happened",
    ),
    "train": (
        "pipeline.alphastomics.commands.train",
        "train once outside the DAG, with parameters from the command line",
    ),
    "compare": (
        "pipeline.alphastomics.commands.compare",
        "print total and activated parameters of spatial networks",
    ),
    "fetch": ("pipeline.commands.fetch", "download a public data set and put it under DVC"),
    "explain": ("pipeline.commands.explain", "show for each stage whether it would run and why"),
    "repair": ("pipeline.commands.repair", "repair DVC's own files after a killed run"),
    "schema": ("pipeline.commands.schema", "print the JSON schema of params.yaml"),
    "dag": ("pipeline.commands.dag", "draw the DAG of dvc.yaml"),
    "track": ("pipeline.tracking.command", "mirror the working tree or a past commit into MLflow"),
    "completion": ("pipeline.commands.completion", "print a script that completes commands and options in your shell"),
}
# The output of these commands is their result; the others write files, and --quiet hides their summaries.
PRINTED = frozenset({"compare", "completion", "dag", "explain", "schema"})
NEED_PROJECT = frozenset({"add", "dag", "explain", "fetch", "new", "plan", "repair", "run", "track"})
PROJECT = "a project is a clone of Celldag, and an installed package alone only uses trained models"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0, or 2 with one message on an expected error."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `python -m pipeline schema | head` is not an error
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
        raise ExpectedError(
            f"no {paths.DVC_YAML} here: `{parsed.command}` works on a project; run it from its root ({PROJECT})"
        )
    lists = (parsed.command == "fetch" and parsed.name is None) or getattr(parsed, "dry_run", False)
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
    """The parser of the requested command; the others have only a name and a line of help."""
    prog = "celldag" if complete else program()
    parser = argparse.ArgumentParser(
        prog=prog, description="Celldag's commands; the DAG itself is run by dvc repro or snakemake."
    )
    parser.add_argument("--version", action="version", version=f"celldag {__version__}")
    parser.add_argument("--debug", action="store_true", help="show a traceback on expected errors")
    parser.add_argument("--quiet", action="store_true", help="print only errors, warnings and results")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    asked = next((word for word in given if not word.startswith("-")), None)
    if asked is not None and asked not in COMMANDS:
        advice = did_you_mean(asked, COMMANDS, f"commands are {', '.join(COMMANDS)}")
        parser.error(f"unknown command {asked!r}; {advice}")
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
    """Exit with a message on unknown arguments and the closest option."""
    option = unknown[0].partition("=")[0]
    known = parser._option_string_actions if option.startswith("-") else {}
    close = closest(option, known, likeness=0.7)
    parser.error(f"unrecognized arguments: {' '.join(unknown)}" + (f"; did you mean {close[0]}?" if close else ""))
