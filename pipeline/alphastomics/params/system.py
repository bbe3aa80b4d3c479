"""Section `alphastomics` of params.yaml: one sub-section per stage."""

from pipeline.alphastomics.params.diffusion import Diffusion
from pipeline.alphastomics.params.evaluate import Evaluate
from pipeline.alphastomics.params.ingest import Ingest
from pipeline.alphastomics.params.preprocess import Preprocess
from pipeline.params.section import Section


class Alphastomics(Section):
    ingest: Ingest
    preprocess: Preprocess
    diffusion: Diffusion
    evaluate: Evaluate
