"""The schema of params.yaml: the sections of all systems, and shared ones."""

from pathlib import Path

from pipeline.alphastomics.params.system import Alphastomics
from pipeline.bayes_moe.params.system import BayesMoe
from pipeline.cfm_vc.params.system import CfmVc
from pipeline.core import paths
from pipeline.mole.params.system import Mole
from pipeline.params.reading import read_yaml, validated
from pipeline.params.report import Report
from pipeline.params.section import Section
from pipeline.params.track import Track


class Params(Section):
    """All of params.yaml."""

    cfm_vc: CfmVc = CfmVc()
    alphastomics: Alphastomics = Alphastomics()
    bayes_moe: BayesMoe = BayesMoe()
    mole: Mole = Mole()
    report: Report = Report()
    track: Track = Track()


def load_params(path: Path = paths.PARAMS) -> Params:
    """Read and validate params.yaml; ExpectedError lists all problems."""
    return validated(Params, read_yaml(path), str(path))
