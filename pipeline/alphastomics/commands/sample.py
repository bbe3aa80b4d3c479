"""`python -m pipeline sample`: predict positions from expression, expression from positions, or sample both."""

import argparse
from pathlib import Path

from pipeline.alphastomics.trained import DRAWS, NEIGHBOURHOOD, Request, Tissue
from pipeline.commands.output import add_output_arguments, check_options, deliver, prepare_output
from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted
from pipeline.data.new_cells import cells_of_file
from pipeline.params.section import DrawsIfAny, Guidance, Neighbourhood, SamplerSteps, Seed

OPTIONS = {
    "num_samples": DrawsIfAny,
    "steps": SamplerSteps,
    "guidance": Guidance,
    "seed": Seed,
    "neighbourhood": Neighbourhood,
}

MODES = {
    "expr_to_pos": "positions of cells of known expression",
    "pos_to_expr": "expression of cells at known positions",
    "joint": "both, for as many cells as the file has",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mode", required=True, choices=MODES, help="; ".join(f"{mode}: {what}" for mode, what in MODES.items())
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="the cells (.h5ad)")
    parser.add_argument(
        "--counts", metavar="PLACE", help="X, raw/X or layers/<name>, raw counts, for expr_to_pos (default: X)"
    )
    parser.add_argument(
        "--spatial", metavar="KEY", help="obsm array with the positions, for pos_to_expr (default: spatial)"
    )
    parser.add_argument("--section-column", metavar="NAME", help="obs column with each cell's section (default: one)")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--cell-type", metavar="LABEL", help="cell type of all cells (default: unknown)")
    given.add_argument("--cell-type-column", metavar="NAME", help="obs column with the cell type of each cell")
    draws = ", ".join(f"{number} in {mode}" for mode, number in DRAWS.items())
    parser.add_argument("--num-samples", type=int, metavar="N", help=f"draws; 0: the estimate alone (default: {draws})")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="10 to 1,000 (default: %(default)s)")
    parser.add_argument("--sampler", choices=("ddim", "ddpm"), default="ddim", help="default: %(default)s")
    parser.add_argument(
        "--guidance", type=float, default=1.0, metavar="X", help="weight of the condition (default: 1, no guidance)"
    )
    parser.add_argument(
        "--neighbourhood",
        type=int,
        metavar="N",
        help="the most cells sampled together; larger sections are stitched from several "
        f"(default: {NEIGHBOURHOOD:,}, or more if trained on more)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: %(default)s)")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="default: that of the only run")
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Sample, write the result, and print a summary."""
    _check(arguments)
    device = prepare_output(arguments, arguments.data)
    tissue = Tissue.load(arguments.model, device)
    request = Request(
        mode=arguments.mode,
        spatial=arguments.spatial or "spatial",
        section_column=arguments.section_column,
        cell_type=arguments.cell_type,
        cell_type_column=arguments.cell_type_column,
        draws=arguments.num_samples,
        steps=arguments.steps,
        sampler=arguments.sampler,
        guidance=arguments.guidance,
        neighbourhood=arguments.neighbourhood,
        seed=arguments.seed,
    )
    counts = (arguments.counts or "X") if arguments.mode == "expr_to_pos" else None
    with cells_of_file(arguments.data, counts) as new:
        answer = tissue.sample_blocks(new, request)
        cells = counted(len(new.obs), "cell")
        asked = arguments.num_samples
        draws = counted(DRAWS[arguments.mode] if asked is None else asked, "draw")
        deliver(answer, arguments, f"{MODES[arguments.mode].split(',')[0]}: {cells}, {draws}")


def _check(arguments: argparse.Namespace) -> None:
    check_options(arguments, OPTIONS)
    if arguments.guidance != 1 and arguments.mode == "joint":
        raise ExpectedError("--guidance has no effect in mode joint, which has no condition")
    if arguments.counts is not None and arguments.mode != "expr_to_pos":
        raise ExpectedError(f"--counts has no effect in mode {arguments.mode}, which reads no counts")
    if arguments.spatial is not None and arguments.mode != "pos_to_expr":
        raise ExpectedError(f"--spatial has no effect in mode {arguments.mode}, which predicts positions")
