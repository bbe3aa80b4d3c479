"""Section `ingest.perturbation`: where the data are and what they are called."""

from typing import Annotated

from pydantic import Field, field_validator

from pipeline.params.obs_column import ObsColumn
from pipeline.params.section import Section


class PerturbationColumns(Section):
    perturbation: ObsColumn
    cell_type: ObsColumn
    batch: ObsColumn


class IngestPerturbation(Section):
    path: str
    counts: Annotated[str, Field(pattern=r"^(X|raw/X|layers/.+)$")]
    columns: PerturbationColumns
    control: str
    dose: ObsColumn | None = None
    combination: Annotated[str, Field(min_length=1)] | None = None
    spatial: str | None = None

    @field_validator("path")
    @classmethod
    def _known_suffix(cls, path: str) -> str:
        if not path.endswith((".h5ad", ".yaml")):
            raise ValueError("must end in .h5ad (a lab's file) or .yaml (a recipe of simulated cells)")
        return path
