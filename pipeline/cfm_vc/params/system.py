"""Section `cfm_vc` of params.yaml: one sub-section per stage, and the studies."""

from typing import Annotated

from pydantic import Field

from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.cfm_vc.params.flow import Flow
from pipeline.cfm_vc.params.preprocess import Preprocess
from pipeline.cfm_vc.params.study import Study
from pipeline.cfm_vc.params.vae import Vae
from pipeline.params.section import MOST_POINTS, PointName
from pipeline.params.study import WithStudies


class CfmVc(WithStudies):
    seeded = ("vae.seed", "flow.seed")

    studies: Annotated[dict[PointName, Study], Field(max_length=MOST_POINTS)] = {}
    preprocess: Preprocess = Preprocess()
    vae: Vae = Vae()
    flow: Flow = Flow()
    evaluate: Evaluate = Evaluate()
