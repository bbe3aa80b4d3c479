"""All of params.yaml, from the sections of all stages."""

from pathlib import Path

from pipeline.alphastomics.params.diffusion import Diffusion
from pipeline.alphastomics.params.evaluate import EvaluateSpatial
from pipeline.alphastomics.params.ingest import IngestSpatial
from pipeline.alphastomics.params.preprocess import PreprocessSpatial
from pipeline.bayes_moe.params.ingest_images import IngestImages
from pipeline.bayes_moe.params.ingest_other_images import IngestOtherImages
from pipeline.bayes_moe.params.sweep import Moe
from pipeline.cfm_vc.params.evaluate import EvaluatePerturbation
from pipeline.cfm_vc.params.flow import Flow
from pipeline.cfm_vc.params.ingest import IngestPerturbation
from pipeline.cfm_vc.params.preprocess import PreprocessPerturbation
from pipeline.cfm_vc.params.vae import Vae
from pipeline.core import paths
from pipeline.mole.params.ingest import IngestSeries
from pipeline.mole.params.sweep import Mole
from pipeline.mole.params.ttnn import Ttnn
from pipeline.params.reading import read_yaml, validated
from pipeline.params.report import Report
from pipeline.params.section import Section
from pipeline.params.track import Track


class Ingest(Section):
    perturbation: IngestPerturbation
    spatial: IngestSpatial
    images: IngestImages
    other_images: IngestOtherImages
    series: IngestSeries


class Preprocess(Section):
    perturbation: PreprocessPerturbation
    spatial: PreprocessSpatial


class Evaluate(Section):
    perturbation: EvaluatePerturbation
    spatial: EvaluateSpatial


class Params(Section):
    """All of params.yaml."""

    ingest: Ingest
    preprocess: Preprocess
    vae: Vae
    flow: Flow
    evaluate: Evaluate
    moe: Moe
    diffusion: Diffusion
    mole: Mole
    ttnn: Ttnn
    report: Report
    track: Track


def load_params(path: Path = paths.PARAMS) -> Params:
    """Read and validate params.yaml; every problem is named in one ExpectedError."""
    return validated(Params, read_yaml(path), str(path))
