"""The schema of params.yaml: the sections of all systems, and shared ones."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from pipeline.alphastomics.params.system import Alphastomics
from pipeline.bayes_moe.params.system import BayesMoe
from pipeline.cfm_vc.params.system import CfmVc
from pipeline.core import paths
from pipeline.core.wording import did_you_mean
from pipeline.mole.params.system import Mole
from pipeline.params.reading import read_yaml, validated
from pipeline.params.report import Report
from pipeline.params.section import Section
from pipeline.params.study import WithStudies
from pipeline.params.track import Track


class Params(Section):
    """All of params.yaml."""

    cfm_vc: CfmVc = CfmVc()
    alphastomics: Alphastomics = Alphastomics()
    bayes_moe: BayesMoe = BayesMoe()
    mole: Mole = Mole()
    report: Report = Report()
    track: Track = Track()

    @model_validator(mode="after")
    def _studies_of_the_report_exist(self) -> Self:
        known = [name for _, section in self if isinstance(section, WithStudies) for name in dict(section)["studies"]]
        for name in self.report.studies or []:
            if name not in known:
                advice = did_you_mean(name, known, f"there are {', '.join(known) or 'none'}")
                raise ValueError(f"report.studies: there is no study {name!r}; {advice}")
        return self


def load_params(path: Path = paths.PARAMS) -> Params:
    """Read and validate params.yaml; ExpectedError lists all problems."""
    return validated(Params, read_yaml(path), str(path))
