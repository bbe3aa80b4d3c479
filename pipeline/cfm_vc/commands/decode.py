"""`python -m pipeline decode`: decode latents to expression."""

import argparse
from pathlib import Path

from pipeline.cfm_vc.commands.cells import add_model_arguments, load
from pipeline.cfm_vc.data.new_latents import latents_of_file
from pipeline.commands.output import check_options, deliver
from pipeline.core.wording import counted
from pipeline.params.section import LibrarySize, Seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--latents", type=Path, required=True, metavar="FILE", help=".h5ad with X_z_int and X_z_tech in obsm"
    )
    parser.add_argument(
        "--library-size", type=float, required=True, metavar="N", help="counts per cell over the model's genes"
    )
    parser.add_argument("--output", choices=("means", "counts"), default="means", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of sampling (default: %(default)s)")
    add_model_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Decode, write the file and print a summary."""
    check_options(arguments, {"library_size": LibrarySize, "seed": Seed})
    model = load(arguments, arguments.latents)
    with latents_of_file(arguments.latents, model.latent_dimensions) as latents:
        answer = model.decode_blocks(latents, arguments.library_size, output=arguments.output, seed=arguments.seed)
        deliver(answer, arguments, f"{counted(len(answer.obs), 'cell')} decoded")
