"""One of several files of tissue: validate it by itself and write its standard copy to data/inputs/."""

from pipeline.alphastomics.data.lab_file import lab_file
from pipeline.alphastomics.params.ingest import IngestFile
from pipeline.core.entry import run_study_stage
from pipeline.core.paths import StudyPaths
from pipeline.data.contract import CONTRACTS
from pipeline.data.parts import described, planned_files, write_part

SECTION = "alphastomics.ingest_file"


def run(settings: IngestFile, at: StudyPaths) -> None:
    """Write data/inputs/alphastomics/<study>/<file>; nothing on error."""
    path = planned_files(at)[str(at.file)]
    print(described(path, write_part(CONTRACTS["spatial"], lab_file(path, settings, at), at)))


if __name__ == "__main__":
    run_study_stage(SECTION, run, kind="files")
