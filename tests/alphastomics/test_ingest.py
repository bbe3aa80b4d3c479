"""The stage `ingest` as the engines run it: a process in a project folder, which writes all of its out or nothing."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import yaml

from pipeline.alphastomics.params.ingest import Ingest
from pipeline.alphastomics.stages import ingest as stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.core.paths import StudyPaths
from tests.ingested import ingest_files, ingest_study, read_raw
from tests.settled import settled
from tests.stages import stage_process
from tests.stages.stage_process import ROOT

DATA = ROOT.parent / "shared/data"
STARMAP, OSMFISH = DATA / "starmap_mpfc_3sections.h5ad", DATA / "osmfish_cortex.h5ad"
OUT = Path("data/raw/alphastomics/tissue")
PARTS = Path("data/inputs/alphastomics/tissue")

ingest = partial(stage_process.ingest, system="alphastomics")
assert_refused = partial(stage_process.assert_ingest_refused, system="alphastomics")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml that points at cells.h5ad, and a previous result."""
    (tmp_path / OUT).mkdir(parents=True)
    (tmp_path / OUT / "source.json").write_text("previous")
    monkeypatch.chdir(tmp_path)
    configure(tmp_path)
    return tmp_path


def section(**changes: Any) -> dict[str, Any]:
    given = {"path": "cells.h5ad", "counts": "X", "section": "slice", "cell_type": "cluster", "spatial": "xy"}
    return given | changes


def configure(project: Path, **changes: Any) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["alphastomics"]["studies"]["tissue"]["ingest"] = section(**changes)
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    settled(project)


def run(**changes: Any) -> None:
    stage.run(Ingest.model_validate(section(**changes)), StudyPaths("alphastomics", "tissue"))


def run_several(project: Path, **changes: Any) -> None:
    configure(project, **changes)
    ingest_study(project, "alphastomics", "tissue")


def source() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((OUT / "source.json").read_text())
    return found


def test_a_lab_file_becomes_the_standard_file(project, tissue_adata):
    tissue_adata.write_h5ad("cells.h5ad")
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cells.h5ad: 80 cells x 12 genes in 2 sections\n")
    assert "left   40 cells\nright  40 cells\n" in done.stdout
    assert "cell types: 2 (B, T)" in done.stdout
    cells = anndata.read_h5ad(OUT / "cells.h5ad")
    np.testing.assert_array_equal(cells.X.toarray(), tissue_adata.X.toarray())
    np.testing.assert_array_equal(cells.obsm["spatial"], tissue_adata.obsm["xy"])
    assert source() == {
        "schema_version": 1,
        "kind": "spatial",
        "simulated": False,
        "description": "cells.h5ad: 80 cells x 12 genes in 2 sections",
        "input": "cells.h5ad",
        "input_sha256": sha256(Path("cells.h5ad")),
        "notes": [],
    }
    assert sorted(path.name for path in OUT.iterdir()) == ["cells.h5ad", "source.json"]


@pytest.mark.usefixtures("project")
def test_a_file_without_sections_and_types_is_one_section_of_unknown_cells(tissue_adata):
    tissue_adata.write_h5ad("cells.h5ad")
    run(section=None, cell_type=None, spatial=["x", "y", "z"])
    cells = anndata.read_h5ad(OUT / "cells.h5ad")
    assert set(cells.obs["section"]) == {"cells"}
    assert set(cells.obs["cell_type"]) == {"unknown"}
    np.testing.assert_array_equal(cells.obsm["spatial"], tissue_adata.obs[["x", "y", "z"]])


@pytest.mark.usefixtures("project")
def test_cells_without_a_type_are_unknown_and_counts_are_looked_for(tissue_adata):
    tissue_adata.obs["cluster"] = ["NA", "unassigned", *tissue_adata.obs["cluster"][2:]]
    tissue_adata.raw = tissue_adata
    tissue_adata.X = tissue_adata.X * 0.5
    tissue_adata.write_h5ad("cells.h5ad")
    run(counts="auto")
    cells = anndata.read_h5ad(OUT / "cells.h5ad")
    assert list(cells.obs["cell_type"]) == ["unknown", "unknown", *tissue_adata.obs["cluster"][2:]]
    np.testing.assert_array_equal(cells.X.toarray(), tissue_adata.raw.X.toarray())
    notes = ["2 cells without a cell type ('NA', 'unassigned'): theirs is 'unknown'", "the counts are those of raw/X"]
    assert source()["notes"] == notes


def test_a_folder_of_files_becomes_one(project, tissue_adata):
    folder = Path("slices")
    folder.mkdir()
    (folder / "notes.txt").write_text("not a file of cells")
    for name in ("left", "right"):
        tissue_adata[tissue_adata.obs["slice"] == name].copy().write_h5ad(folder / f"{name}.h5ad")
    (folder / "._left.h5ad").write_text("what another system leaves beside a file")
    (folder / ".gitignore").write_text("")
    (folder / "right.h5ad").rename(folder / "right.H5AD")
    run_several(project, path="slices", section=None)
    assert source()["notes"] == ["2 of slices passed over: ._left.h5ad, notes.txt"]
    cells = read_raw(OUT)
    assert list(cells.obs["section"]) == list(tissue_adata.obs["slice"])
    np.testing.assert_array_equal(cells.X.toarray(), tissue_adata[:, cells.var_names].X.toarray())
    assert source()["description"] == "slices, 2 files: 80 cells x 12 genes in 2 sections"
    assert sorted(path.name for path in OUT.iterdir()) == ["source.json", "union.json"], "counts are not copied"
    first, of_left = sha256(OUT), sha256(PARTS / "left")
    run_several(project, path="slices", section=None)
    assert sha256(OUT) == first
    by_folder, union = source(), sha256(OUT / "union.json")
    run_several(project, path=["slices/right.H5AD", "slices/left.h5ad"], section=None)
    assert source()["input_sha256"] == by_folder["input_sha256"]
    assert sha256(OUT / "union.json") == union
    assert source()["description"] == by_folder["description"].replace("slices, ", "")
    assert sorted(path.name for path in PARTS.iterdir()) == ["left", "right"], "what the folder held is of no study"
    (folder / "right.H5AD").rename(folder / "wrong.H5AD")
    run_several(project, path="slices", section=None)
    assert source()["input_sha256"] != by_folder["input_sha256"]
    assert sorted(path.name for path in PARTS.iterdir()) == ["files.json", "left", "wrong"]
    assert sha256(PARTS / "left") == of_left
    (folder / "more.h5ad").write_bytes((folder / "left.h5ad").read_bytes())
    (folder / "wrong.H5AD").unlink()
    with pytest.raises(ExpectedError, match=r"plan\.yaml lists: more.h5ad \(new\), wrong.H5AD \(gone\)"):
        ingest_files(project, "alphastomics", "tissue")


def test_two_files_of_one_name_are_refused(project, tissue_adata):
    Path("slices").mkdir()
    for name in ("left.h5ad", "left.H5AD"):
        tissue_adata.write_h5ad(Path("slices", name))
    with pytest.raises(ExpectedError, match=r"slices holds left\.H5AD and left\.h5ad: give one of them another name"):
        run(path="slices")


def test_the_suffix_of_a_file_does_not_matter(project, tissue_adata):
    tissue_adata.write_h5ad("X.H5AD")
    run(path="X.H5AD")
    assert source()["description"] == "X.H5AD: 80 cells x 12 genes in 2 sections"


@pytest.mark.usefixtures("project")
def test_a_recipe_becomes_sections_of_tissue():
    run(path=str(ROOT / "data/embedded/tissue.yaml"))
    cells = anndata.read_h5ad(OUT / "cells.h5ad")
    assert cells.shape == (2000, 80)
    assert list(cells.obs["section"].cat.categories) == ["section_1", "section_2", "section_3", "section_4"]
    assert cells.obs_names.is_unique
    assert cells.obsm["spatial"].shape == (2000, 2)
    assert source()["simulated"] is True
    assert source()["description"].startswith("Simulated: 4 sections of a layered tissue in 2 dimensions, 2,000 cells")
    first = sha256(OUT / "cells.h5ad")
    run(path=str(ROOT / "data/embedded/tissue.yaml"))
    assert sha256(OUT / "cells.h5ad") == first


def test_every_problem_of_a_bad_file_is_in_one_message(project, tissue_adata):
    tissue_adata.obsm["xy"][3] = np.nan
    tissue_adata.X = np.log1p(tissue_adata.X.toarray() * 1.7)
    tissue_adata.write_h5ad("cells.h5ad")
    configure(project, cell_type="clusters")
    assert_refused(project, "3 problems", "1 cell with a NaN", "perhaps 'cluster'", "looks log-normalised")


def test_no_coordinates(project, tissue_adata):
    del tissue_adata.obsm["xy"]
    tissue_adata.write_h5ad("cells.h5ad")
    assert_refused(project, "obsm 'xy' (spatial): found no such array; there are none; expected the positions")


def test_duplicate_places(project, tissue_adata):
    tissue_adata.obsm["xy"][5] = tissue_adata.obsm["xy"][4]
    tissue_adata.write_h5ad("cells.h5ad")
    assert_refused(project, "1 cell in the place of another cell of the same section, such as cell 6")
    run(same_place="first")
    assert source()["notes"] == ["1 cell in the place of an earlier cell of the same section, left out"]
    assert "cell5" not in anndata.read_h5ad(OUT / "cells.h5ad").obs_names
    assert source()["description"] == "cells.h5ad: 79 cells x 12 genes in 2 sections"


def test_gene_lists_that_do_not_overlap(project, tissue_adata):
    Path("slices").mkdir()
    for name, prefix in (("left", "gene"), ("right", "ENSG")):
        part = tissue_adata[tissue_adata.obs["slice"] == name].copy()
        part.var_names = [f"{prefix}{number}" for number in range(12)]
        part.write_h5ad(f"slices/{name}.h5ad")
    configure(project, path="slices")
    assert ingest_files(project, "alphastomics", "tissue") == {}
    assert_refused(project, "share no gene", "ENSG0", "gene0")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("absent.h5ad", "absent.h5ad not found"),
        ("recipe.yaml", "recipe.yaml not found"),
    ],
)
def test_a_path_that_leads_nowhere(project, path, words):
    configure(project, path=path)
    assert_refused(project, words)


@pytest.mark.parametrize(
    ("path", "words"), [("absent", "absent not found: check the path"), ("empty", "empty holds no .h5ad file")]
)
def test_a_folder_that_cannot_be_is_refused_when_the_plan_is_made(project, path, words):
    Path("empty").mkdir()
    with pytest.raises(ExpectedError, match=words):
        configure(project, path=path)


def test_a_truncated_file_is_refused_by_name(project, tissue_adata):
    Path("slices").mkdir()
    for name in ("left", "right"):
        tissue_adata[tissue_adata.obs["slice"] == name].copy().write_h5ad(f"slices/{name}.h5ad")
    os.truncate("slices/right.h5ad", 3000)
    configure(project, path="slices")
    refused = ingest_files(project, "alphastomics", "tissue")
    assert list(refused) == ["right"]
    assert "slices/right.h5ad is truncated" in refused["right"]
    assert sorted(path.name for path in PARTS.iterdir()) == ["files.json", "left"]
    assert_refused(project, "right/part.json not found: run dvc repro ingest_file@alphastomics-tissue-right")


@pytest.mark.parametrize(
    ("spatial", "words"),
    [
        (["x"], "alphastomics.studies.tissue.ingest.spatial"),
        (["x", "x"], "must name different obs columns"),
        (["x", "y", "z", "t"], "alphastomics.studies.tissue.ingest.spatial"),
        ("", "alphastomics.studies.tissue.ingest.spatial"),
    ],
)
def test_settings_of_coordinates_that_cannot_be(project, spatial, words):
    with pytest.raises(ExpectedError, match=words):
        configure(project, spatial=spatial)


@pytest.mark.skipif(not STARMAP.exists(), reason="the real sections are not here (../shared/data/starmap_*.h5ad)")
@pytest.mark.usefixtures("project")
def test_the_real_sections_are_accepted():
    run(path=str(STARMAP), section="section", cell_type="cell_type", spatial="spatial")
    assert source()["description"].endswith("3,190 cells x 166 genes in 3 sections")
    assert source()["notes"] == []


@pytest.mark.skipif(not OSMFISH.exists(), reason="the real section is not here (../shared/data/osmfish_cortex.h5ad)")
def test_the_real_section_holds_cells_twice(project):
    settings = {"path": str(OSMFISH), "section": None, "cell_type": "ClusterName", "spatial": "spatial"}
    configure(project, **settings)
    assert_refused(project, "476 cells in the place of another cell")
    run(**settings, same_place="first")
    assert source()["description"].endswith("4,363 cells x 33 genes in 1 section")
