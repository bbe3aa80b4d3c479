"""Mirror the stages upstream of this one into MLflow, from dvc.lock.

DVC writes a stage's entry when the stage has finished, so dvc.lock now holds all stages but this one, which does not
mirror itself.
"""

from pipeline.core import paths
from pipeline.core.entry import run_stage
from pipeline.core.files import write_json
from pipeline.params.track import Track
from pipeline.tracking.project import mirror

SECTION = "track"


def run(settings: Track) -> None:
    """Mirror the working tree and list the mirrored results, without run ids or times, so that the output is
    reproducible."""
    mirrored = mirror(settings.experiment)
    write_json(paths.TRACKED, {"stages": {record.address: record.hash for record in mirrored.records}})


if __name__ == "__main__":
    run_stage(SECTION, run)
