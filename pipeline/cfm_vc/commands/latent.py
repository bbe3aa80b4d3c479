"""`python -m pipeline latent`: embed new cells in the latent space."""

import argparse

from pipeline.cfm_vc.commands.cells import add_cell_arguments, add_model_arguments, annotations_of, load
from pipeline.commands.output import deliver
from pipeline.core.wording import counted
from pipeline.data.new_cells import cells_of_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cell_arguments(parser)
    add_model_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Embed, write the file and print a summary."""
    model = load(arguments, arguments.data)
    dimensions = " and ".join(map(str, model.latent_dimensions))
    with cells_of_file(arguments.data, arguments.counts) as new:
        answer = model.latent_blocks(new, annotations_of(arguments))
        deliver(answer, arguments, f"{counted(len(answer.obs), 'cell')} embedded in {dimensions} dimensions")
