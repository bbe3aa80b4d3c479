"""Options and habits that `predict`, `latent` and `decode` share."""

import argparse
from pathlib import Path

from pipeline.cfm_vc.paths import PATHS
from pipeline.cfm_vc.trained import CfmVc
from pipeline.commands.output import add_output_arguments, prepare_output
from pipeline.data.obs_annotations import ObsAnnotations


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, on what, and where to write."""
    add_output_arguments(parser)
    parser.add_argument("--models", type=Path, default=PATHS.models, metavar="FOLDER", help="default: %(default)s")


def add_cell_arguments(parser: argparse.ArgumentParser) -> None:
    """Which cells, and what is known of them."""
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="cells with raw counts (.h5ad)")
    parser.add_argument(
        "--counts", default="X", metavar="PLACE", help="X, raw/X or layers/<name> (default: %(default)s)"
    )
    for covariate in ("cell type", "batch"):
        given = parser.add_mutually_exclusive_group()
        option = "--" + covariate.replace(" ", "-")
        given.add_argument(option, metavar="LABEL", help=f"{covariate} of all cells (default: unknown)")
        given.add_argument(f"{option}-column", metavar="NAME", help=f"obs column with the {covariate} of each cell")
    parser.add_argument("--perturbation-column", metavar="NAME", help="obs column that tells controls from others")
    parser.add_argument(
        "--control-label", metavar="LABEL", help="use only cells with this label in it (default: the model's control)"
    )


def annotations_of(arguments: argparse.Namespace) -> ObsAnnotations:
    """What the arguments of `add_cell_arguments` say of the cells."""
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
    """The model that the arguments name. ExpectedError before any work where the result has no place to go."""
    device = prepare_output(arguments, *inputs)
    return CfmVc.load(arguments.models, device)
