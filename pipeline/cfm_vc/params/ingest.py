"""Section `cfm_vc.ingest`: the input file and the names of its columns."""

from pipeline.params.label import Label
from pipeline.params.obs_column import ObsColumn
from pipeline.params.section import CountsPlace, FilePaths, Name, Section, Text


class PerturbationColumns(Section):
    perturbation: ObsColumn = ObsColumn(column="perturbation")
    cell_type: ObsColumn = ObsColumn(column="cell_type")
    batch: ObsColumn | None = None


class IngestFile(Section):
    """How one file is read. Of several, each depends on this alone, so that one more file has no other read again."""

    counts: CountsPlace = "auto"
    columns: PerturbationColumns = PerturbationColumns()
    control: Label = "control"
    dose: ObsColumn | None = None
    combination: Name | None = None
    spatial: Text | None = None


class Ingest(IngestFile):
    path: FilePaths
