"""Section `cfm_vc.ingest`: the input file and the names of its columns."""

from pipeline.params.label import Label
from pipeline.params.obs_column import ObsColumn
from pipeline.params.section import CountsPlace, FilePath, Name, Section, Text


class PerturbationColumns(Section):
    perturbation: ObsColumn
    cell_type: ObsColumn
    batch: ObsColumn


class Ingest(Section):
    path: FilePath
    counts: CountsPlace
    columns: PerturbationColumns
    control: Label
    dose: ObsColumn | None = None
    combination: Name | None = None
    spatial: Text | None = None
