"""One of several files of perturbation data: validate it by itself and write its standard copy to data/inputs/."""

from pipeline.cfm_vc.data.lab_file import lab_file
from pipeline.cfm_vc.params.ingest import IngestFile
from pipeline.core.entry import run_study_stage
from pipeline.core.paths import StudyPaths
from pipeline.data.contract import CONTRACTS
from pipeline.data.parts import described, planned_files, write_part

SECTION = "cfm_vc.ingest_file"


def run(settings: IngestFile, at: StudyPaths) -> None:
    """Write data/inputs/cfm_vc/<study>/<file>; nothing on error."""
    path = planned_files(at)[str(at.file)]
    print(described(path, write_part(CONTRACTS["perturbation"], lab_file(path, settings, at, several=True), at)))


if __name__ == "__main__":
    run_study_stage(SECTION, run, kind="files")
