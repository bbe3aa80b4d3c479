"""Section `cfm_vc` of params.yaml: one sub-section per stage."""

from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.cfm_vc.params.flow import Flow
from pipeline.cfm_vc.params.ingest import Ingest
from pipeline.cfm_vc.params.preprocess import Preprocess
from pipeline.cfm_vc.params.vae import Vae
from pipeline.params.section import Section


class CfmVc(Section):
    ingest: Ingest
    preprocess: Preprocess
    vae: Vae
    flow: Flow
    evaluate: Evaluate
