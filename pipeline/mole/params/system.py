"""Section `mole` of params.yaml: the sweep of forecasters, how they are judged, and the studies."""

from typing import Annotated

from pydantic import Field

from pipeline.mole.params.evaluate import Evaluate
from pipeline.mole.params.ridge import RidgeGrid
from pipeline.mole.params.study import Study
from pipeline.mole.params.sweep import Sweep
from pipeline.mole.params.ttnn import Ttnn
from pipeline.params.section import MOST_POINTS, PointName
from pipeline.params.study import WithStudies


class Mole(WithStudies):
    seeded = ("sweep.recipe.seeds", "sweep.recipe.seed")

    studies: Annotated[dict[PointName, Study], Field(max_length=MOST_POINTS)] = {}
    ridge: RidgeGrid = RidgeGrid()
    sweep: Sweep = Sweep()
    evaluate: Evaluate = Evaluate()
    ttnn: Ttnn = Ttnn()
