"""`python -m pipeline predict`: predict how new cells respond to a perturbation."""

import argparse
from pathlib import Path

from pipeline.cfm_vc.commands.cells import add_cell_arguments, add_model_arguments, annotations_of, load
from pipeline.cfm_vc.data.dose_request import DoseRequest
from pipeline.cfm_vc.effect_table import effect_table
from pipeline.cfm_vc.model.ode import METHODS
from pipeline.cfm_vc.model.transport import Solution
from pipeline.commands.output import check_options, check_place, deliver
from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_text
from pipeline.core.wording import counted
from pipeline.data.new_cells import cells_of_file
from pipeline.params.allowed import check
from pipeline.params.section import Dose, Guidance, Seed, Steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cell_arguments(parser)
    parser.add_argument(
        "--perturbation", required=True, metavar="NAME", help="a label of the training data, or treatments joined by +"
    )
    parser.add_argument(
        "--dose",
        action="append",
        default=[],
        metavar="[TREATMENT=]NUMBER",
        help="in the unit of the training data (default: as in training); for a combination, repeat it per treatment",
    )
    parser.add_argument(
        "--output",
        choices=("counts", "means"),
        default="counts",
        help="counts, to which effects are sized, or the decoder's own means (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of sampling (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="solver steps (default: %(default)s)")
    parser.add_argument("--method", choices=tuple(METHODS), default="euler", help="solver (default: %(default)s)")
    parser.add_argument(
        "--guidance",
        type=float,
        default=1.0,
        help="guidance strength: scales the perturbation's effect on the velocity field (default: %(default)s)",
    )
    parser.add_argument(
        "--spatial", metavar="KEY", help="obsm key of spatial coordinates, for a model trained with them"
    )
    parser.add_argument(
        "--effects", type=Path, metavar="FILE", help="also write each gene's predicted change, with its interval (.csv)"
    )
    add_model_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Predict, write the file and print a summary."""
    check_options(arguments, {"steps": Steps, "seed": Seed, "guidance": Guidance})
    doses = dose_of(arguments.dose)
    if arguments.effects:
        check_place(arguments.effects, arguments.overwrite, arguments.data)
        if arguments.effects.resolve() == arguments.out.resolve():
            raise ExpectedError(f"--effects {arguments.effects} is the output: name another file")
    model = load(arguments, arguments.data)
    annotations = annotations_of(arguments)
    solution = Solution(model.source, arguments.steps, arguments.method, arguments.guidance)
    with cells_of_file(arguments.data, arguments.counts) as new:
        answer = model.predict_blocks(
            new, arguments.perturbation, doses, annotations, solution, arguments.output, arguments.seed
        )
        deliver(answer, arguments, f"{counted(len(answer.obs), 'cell')} predicted under {arguments.perturbation}")
    if arguments.effects:
        table = effect_table(model, arguments.perturbation, doses, answer.obs["cell_type"], solution)
        write_text(arguments.effects, table.to_csv(index=False, float_format="%.6g"))
        print(f"wrote {arguments.effects}: {counted(table['cell_type'].nunique(), 'cell type')} with training controls")


def dose_of(given: list[str]) -> DoseRequest:
    """One number, or {treatment: number}; ExpectedError where it is neither, or a treatment is named twice."""
    named: dict[str, float] = {}
    for text in given:
        treatment, _, number = text.rpartition("=")
        try:
            dose = float(number)
        except ValueError:
            raise ExpectedError(f"--dose {text}: expected a number, or TREATMENT=NUMBER") from None
        check(Dose, "--dose", dose)
        if treatment in named or (treatment == "" and len(given) > 1):
            raise ExpectedError(f"--dose {text}: with several doses, each names its own treatment: TREATMENT=NUMBER")
        named[treatment] = dose
    return named.get("", named) if named else None
