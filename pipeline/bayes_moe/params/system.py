"""Section `bayes_moe` of params.yaml: the sweep of classifiers, how they are compared, and the studies."""

from typing import Annotated

from pydantic import Field

from pipeline.bayes_moe.params.evaluate import Evaluate
from pipeline.bayes_moe.params.study import Study
from pipeline.bayes_moe.params.sweep import Sweep
from pipeline.params.section import MOST_POINTS, PointName
from pipeline.params.study import WithStudies


class BayesMoe(WithStudies):
    seeded = ("sweep.recipe.seeds",)

    studies: Annotated[dict[PointName, Study], Field(max_length=MOST_POINTS)] = {}
    sweep: Sweep = Sweep()
    evaluate: Evaluate = Evaluate()
