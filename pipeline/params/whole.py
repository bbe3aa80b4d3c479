"""All of params.yaml, from the sections of all stages."""

from pathlib import Path

from pipeline import paths
from pipeline.params.diffusion import Diffusion
from pipeline.params.evaluate_perturbation import EvaluatePerturbation
from pipeline.params.evaluate_spatial import EvaluateSpatial
from pipeline.params.flow import Flow
from pipeline.params.ingest_images import IngestImages
from pipeline.params.ingest_other_images import IngestOtherImages
from pipeline.params.ingest_perturbation import IngestPerturbation
from pipeline.params.ingest_series import IngestSeries
from pipeline.params.ingest_spatial import IngestSpatial
from pipeline.params.moe import Moe
from pipeline.params.mole import Mole
from pipeline.params.preprocess_perturbation import PreprocessPerturbation
from pipeline.params.preprocess_spatial import PreprocessSpatial
from pipeline.params.reading import read_yaml, validated
from pipeline.params.report import Report
from pipeline.params.section import Section
from pipeline.params.track import Track
from pipeline.params.ttnn import Ttnn
from pipeline.params.vae import Vae


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
