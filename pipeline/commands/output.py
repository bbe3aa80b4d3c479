"""Options shared by commands that write a file of results."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import ExpectedError
from pipeline.core.files import check_replaceable
from pipeline.data.anndata_blocks import AnnDataBlocks
from pipeline.data.file_kind import file_kind
from pipeline.params.allowed import check
from pipeline.params.section import Threads
from pipeline.training.determinism import prepare_device


def add_output_arguments(parser: argparse.ArgumentParser, kind: str = ".h5ad") -> None:
    """Options for the output file and the device."""
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=f"output file ({kind})")
    parser.add_argument("--overwrite", action="store_true", help="replace the output file if it exists")
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: %(default)s)")


def prepare_output(arguments: argparse.Namespace, *inputs: Path) -> str:
    """The device to use. ExpectedError, before any work, if the output cannot be written."""
    check_place(arguments.out, arguments.overwrite, *inputs)
    check_options(arguments, {"threads": Threads})
    return str(prepare_device(arguments.device, arguments.threads))


def check_options(arguments: argparse.Namespace, kinds: Mapping[str, Any]) -> None:
    """ExpectedError if an option has an invalid value (types as in `pipeline.params.section`)."""
    for name, kind in kinds.items():
        value = getattr(arguments, name)
        if value is not None:
            check(kind, "--" + name.replace("_", "-"), value)


def check_place(out: Path, overwrite: bool, *inputs: Path) -> None:
    """ExpectedError if the output is not a regular file, is an input, or exists already; or if an input cannot be
    read."""
    for path in inputs:
        file_kind(path)
    if out.is_symlink():
        raise ExpectedError(f"{out} is a symbolic link to {out.readlink()}: name its target instead")
    check_replaceable(out)
    if any(out.resolve() == path.resolve() for path in inputs):
        raise ExpectedError(f"{out} is the input: name another file to write")
    if out.exists() and not overwrite:
        raise ExpectedError(f"{out} exists: name another file, or add --overwrite to replace it")


def deliver(answer: AnnDataBlocks, arguments: argparse.Namespace, headline: str) -> None:
    """Write the file and print a summary."""
    answer.write(arguments.out)
    print("\n".join([headline, *answer.uns()["celldag"]["notes"], f"wrote {arguments.out}"]))
