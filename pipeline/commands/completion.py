"""`celldag completion SHELL`: a script that completes commands, options and files."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="shell to print the script for")


def run(arguments: argparse.Namespace) -> None:
    """Print the script, made from the parsers of all commands."""
    import shtab

    from pipeline.cli import full_parser

    print(shtab.complete(full_parser(), shell=arguments.shell))
