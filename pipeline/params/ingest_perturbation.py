"""Section `ingest.perturbation`: where the data are and what they are called."""

from pydantic import field_validator

from pipeline.params.obs_column import ObsColumn
from pipeline.params.section import CountsPlace, FilePath, Name, Section, Text


class PerturbationColumns(Section):
    perturbation: ObsColumn
    cell_type: ObsColumn
    batch: ObsColumn


class IngestPerturbation(Section):
    path: FilePath
    counts: CountsPlace
    columns: PerturbationColumns
    control: Text
    dose: ObsColumn | None = None
    combination: Name | None = None
    spatial: Text | None = None

    @field_validator("path")
    @classmethod
    def _known_suffix(cls, path: str) -> str:
        if not path.endswith((".h5ad", ".yaml")):
            raise ValueError("must end in .h5ad (a lab's file) or .yaml (a recipe of simulated cells)")
        return path
