"""`python -m pipeline COMMAND`: the one entry for people. Stages are started by `python -m pipeline.stage`."""

import argparse
import difflib
import importlib
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from pipeline.core.entry import escape_unprintable, guarded

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
}


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
    guarded(lambda: parsed.run(parsed), parsed.debug)


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline", description="Celldag's commands; the DAG itself is run by dvc repro or snakemake."
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback where something expected is wrong")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    asked = next((word for word in given if not word.startswith("-")), None)
    if asked is not None and asked not in COMMANDS:
        close = difflib.get_close_matches(asked, COMMANDS, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}"
        parser.error(f"no command {asked!r}; {advice}")
    for name, (module_name, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if name == asked:
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
