"""Section `ingest.perturbation`: where the data are and what they are called."""

from typing import Annotated

from pydantic import Field

from pipeline.params.label import Label
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
    control: Label
    dose: ObsColumn | None = None
    combination: Annotated[str, Field(min_length=1)] | None = None
    spatial: str | None = None
