"""Options shared by `predict`, `latent` and `decode`."""

import argparse
from pathlib import Path

from pipeline.cfm_vc.trained import CfmVc
from pipeline.commands.output import add_output_arguments, prepare_output
from pipeline.data.obs_annotations import ObsAnnotations


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for the model, the device and the output file."""
    add_output_arguments(parser)
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="default: that of the only run")


def add_cell_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for the input cells and their annotations."""
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="cells with raw counts (.h5ad)")
    parser.add_argument(
        "--counts", default="X", metavar="PLACE", help="X, raw/X or layers/<name> (default: %(default)s)"
    )
    for covariate in ("cell type", "batch"):
        given = parser.add_mutually_exclusive_group()
        option = "--" + covariate.replace(" ", "-")
        given.add_argument(option, metavar="LABEL", help=f"{covariate} of all cells (default: unknown)")
        given.add_argument(f"{option}-column", metavar="NAME", help=f"obs column with the {covariate} of each cell")
    parser.add_argument("--perturbation-column", metavar="NAME", help="obs column that marks control cells")
    parser.add_argument(
        "--control-label",
        metavar="LABEL",
        help="use only cells with this label in that column (default: the model's control)",
    )


def annotations_of(arguments: argparse.Namespace) -> ObsAnnotations:
    """User-supplied annotations from the options of `add_cell_arguments`."""
    return ObsAnnotations(
        arguments.cell_type,
        arguments.cell_type_column,
        arguments.batch,
        arguments.batch_column,
        arguments.perturbation_column,
        arguments.control_label,
        getattr(arguments, "spatial", None),
    )


def load(arguments: argparse.Namespace, *inputs: Path) -> CfmVc:
    """Load the model. ExpectedError, before any work, if the output cannot be written."""
    device = prepare_output(arguments, *inputs)
    return CfmVc.load(arguments.model, device)
