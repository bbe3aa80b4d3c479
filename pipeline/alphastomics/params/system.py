"""Section `alphastomics` of params.yaml: one sub-section per stage, and the studies."""

from typing import Annotated

from pydantic import Field

from pipeline.alphastomics.params.diffusion import Diffusion
from pipeline.alphastomics.params.evaluate import Evaluate
from pipeline.alphastomics.params.preprocess import Preprocess
from pipeline.alphastomics.params.study import Study
from pipeline.params.section import MOST_POINTS, PointName
from pipeline.params.study import WithStudies


class Alphastomics(WithStudies):
    seeded = ("diffusion.seed",)

    studies: Annotated[dict[PointName, Study], Field(max_length=MOST_POINTS)] = {}
    preprocess: Preprocess = Preprocess()
    diffusion: Diffusion = Diffusion()
    evaluate: Evaluate = Evaluate()
