"""Several files of a study ingested in this process, as the stages that plan.yaml lists do it, and read back."""

import os
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import anndata
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from pipeline.core.entry import instance, read_settings
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.data.raw_cells import open_raw_cells
from pipeline.plan import read_plan
from pipeline.stages import list_files


def ingest_files(folder: Path, system: str, study: str) -> dict[str, str]:
    """Ingest each file of a study by itself; by name, what was said of those that were refused."""
    refused = {}
    with chdir(folder):
        plan = read_plan()
        if f"{system}-{study}" in plan["folders"]:
            with patch.dict(os.environ, {"DVC_STAGE": f"list_files@{system}-{study}"}):
                list_files.run()
        stage = import_module(f"pipeline.{system}.stages.ingest_file")
        for key in [key for key, of in plan["files"].items() if (of["system"], of["study"]) == (system, study)]:
            at = instance(system, key, "files")
            try:
                stage.run(*read_settings(at, [stage.SECTION], stage.run), at)
            except ExpectedError as error:
                refused[str(at.file)] = str(error)
    return refused


def ingest_study(folder: Path, system: str, study: str) -> None:
    """All stages up to the merge, or of one file its ingest. ExpectedError as of the first that fails."""
    if refused := ingest_files(folder, system, study):
        raise ExpectedError(next(iter(refused.values())))
    with chdir(folder):
        at = StudyPaths(system, study)
        stage = import_module(f"pipeline.{system}.stages.ingest")
        stage.run(*read_settings(at, [stage.SECTION], stage.run), at)


def read_raw(raw: Path) -> anndata.AnnData:
    """What preprocess reads of data/raw/<system>/<study>, cell by cell."""
    with open_raw_cells(raw) as reader:
        block = reader.block(0, reader.cells)
        x_NG = csr_matrix((block.counts, block.indices, block.indptr), shape=(reader.cells, len(reader.genes)))
        assert all((np.diff(genes) > 0).all() for genes in np.split(block.indices, block.indptr[1:-1])), "ascending"
        names = ("perturbation", "cell_type", "batch") if raw.parts[-2] == "cfm_vc" else ("section", "cell_type")
        obs = pd.DataFrame({name: reader.covariate(name).texts() for name in names})
        obs.index = pd.Index(reader.names(0, reader.cells))
        places_NS, doses = reader.spatial(), reader.doses()
        return anndata.AnnData(
            x_NG,
            obs,
            pd.DataFrame(index=reader.genes),
            uns={} if doses is None else {"doses": doses},
            obsm={} if places_NS is None else {"spatial": places_NS},
        )
