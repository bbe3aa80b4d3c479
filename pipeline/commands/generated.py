"""Committed files that are generated from the code or dvc.yaml: printed, written, or checked."""

import argparse
from pathlib import Path

from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_text


def add_generated_arguments(parser: argparse.ArgumentParser, path: Path) -> None:
    """Options of a command that generates `path`; without either it prints."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--write", action="store_true", help=f"write {path}")
    how.add_argument("--check", action="store_true", help=f"fail if {path} is out of date")


def deliver(text: str, path: Path, arguments: argparse.Namespace) -> None:
    """Print, write or check `text`. ExpectedError if --check finds a difference."""
    current = path.read_text(encoding="utf-8") if path.exists() else None
    if arguments.check:
        if current != text:
            raise ExpectedError(f"{path} is out of date: run make generate and commit the result")
    elif not arguments.write:
        print(text, end="")
    elif current != text:
        write_text(path, text)
        print(f"wrote {path}")
