"""ingest@cfm_vc-pbmc as the engines run it: a process in a project folder, which writes all of its out or nothing."""

import json
import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import anndata
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.cfm_vc.data.folds import folds
from pipeline.cfm_vc.stages import preprocess
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.core.paths import StudyPaths
from pipeline.data.store import SPLITS, open_store
from tests.ingested import ingest_files, read_raw
from tests.settled import settled

ROOT = Path(__file__).parents[2]
KANG = ROOT.parent / "shared/data/kang_ifnb_2donors.h5ad"
OUT = Path("data/raw/cfm_vc/pbmc")
STAGE = "pipeline.cfm_vc.stages.ingest"


@pytest.fixture
def project(tmp_path):
    """A folder with params.yaml that points at cells.h5ad, and a previous result."""
    (tmp_path / OUT).mkdir(parents=True)
    (tmp_path / OUT / "source.json").write_text("previous")
    configure(tmp_path)
    return tmp_path


def configure(project: Path, study: dict | None = None, **changes) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    section = {
        "path": "cells.h5ad",
        "counts": "X",
        "columns": {"perturbation": "condition", "cell_type": "cluster", "batch": "donor"},
        "control": "ctrl",
        **changes,
    }
    params["cfm_vc"]["studies"]["pbmc"] |= {"ingest": section, **(study or {})}
    (project / "params.yaml").write_text(yaml.safe_dump(params))


def ingest(project: Path, *start: str, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(start or ("-m", STAGE)), "pbmc"]
    try:
        settled(project)
        if refused := ingest_files(project, "cfm_vc", "pbmc"):  # stages of their own; the merge waits for all of them
            return subprocess.CompletedProcess(command, 2, "", f"error: {next(iter(refused.values()))}\n")
    except ExpectedError as error:  # the stage `code` refuses it
        return subprocess.CompletedProcess(command, 2, "", f"error: {error}\n")
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False, **options)


def assert_refused(project: Path, done: subprocess.CompletedProcess, *words: str) -> None:
    """Exit code 2, one message with these words, the previous result as it was, nothing beside it."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("error: ") == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert [path.name for path in (project / OUT).iterdir()] == ["source.json"]
    assert (project / OUT / "source.json").read_text() == "previous"
    assert [path.name for path in (project / OUT).parent.iterdir()] == ["pbmc"]


def test_a_lab_file_becomes_the_standard_file(project, lab_adata):
    lab_adata.write_h5ad(project / "cells.h5ad")
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cells.h5ad: 80 cells x 12 genes\n")
    assert "cells per group  ctrl  stim\nB                  20    20\n" in done.stdout

    cells = anndata.read_h5ad(project / OUT / "cells.h5ad")
    np.testing.assert_array_equal(cells.X.toarray(), lab_adata.X.toarray())
    source = json.loads((project / OUT / "source.json").read_text())
    assert source["description"] == "cells.h5ad: 80 cells x 12 genes"
    assert (source["simulated"], source["control"], source["notes"]) == (False, "ctrl", [])
    assert not (project / OUT / "truth.parquet").exists()


def test_a_recipe_becomes_cells_with_their_truth(project):
    recipe = (ROOT / "data/embedded/perturbation.yaml").read_text().replace("cells: 6000", "cells: 600")
    (project / "recipe.yaml").write_text(recipe)
    configure(project, path="recipe.yaml", control="control")
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    cells = anndata.read_h5ad(project / OUT / "cells.h5ad")
    assert cells.shape == (600, 765)
    assert sorted(cells.obs["perturbation"].unique()) == ["control", "cytokine", "inhibitor", "stress"]
    truth = pq.read_table(project / OUT / "truth.parquet")
    assert truth.column_names == ["gene", "cell_type", "perturbation", "log_fold_change"]
    assert truth.num_rows == 765 * 7 * 3
    source = json.loads((project / OUT / "source.json").read_text())
    assert source["simulated"] is True
    assert source["description"].startswith("Simulated: real PBMC profiles shipped with scanpy")

    configure(project, path="recipe.yaml", control="ctrl")
    assert "'control', but cfm_vc.studies.pbmc.ingest.control is 'ctrl'" in ingest(project).stderr


def split_up(adata: anndata.AnnData, folder: Path, by: str) -> list[str]:
    """A file for each label of a column; their paths relative to the project."""
    folder.mkdir()
    for label in adata.obs[by].unique():
        adata[adata.obs[by] == label].copy().write_h5ad(folder / f"{label}.h5ad")
    return sorted(str(path.relative_to(folder.parent)) for path in folder.iterdir())


def source(project: Path) -> dict:
    return json.loads((project / OUT / "source.json").read_text())


def test_several_files_become_one_and_each_is_a_batch(project, lab_adata):
    files = split_up(lab_adata, project / "donors", "donor")
    columns = {"perturbation": "condition", "cell_type": "cluster"}
    configure(project, path="donors", columns=columns)
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("donors, 2 files: 80 cells x 12 genes\n")
    assert "batches: 2 (d1, d2)" in done.stdout
    cells = read_raw(project / OUT)
    order = np.argsort(lab_adata.obs["donor"], kind="stable")
    assert list(cells.obs_names) == list(lab_adata.obs_names[order])
    assert list(cells.var_names) == sorted(lab_adata.var_names)
    np.testing.assert_array_equal(cells.X.toarray(), lab_adata[order, cells.var_names].X.toarray())
    assert list(cells.obs["batch"]) == list(lab_adata.obs["donor"].iloc[order])
    assert list(cells.obs.columns) == ["perturbation", "cell_type", "batch"]
    assert sorted(path.name for path in (project / OUT).iterdir()) == ["source.json", "union.json"]
    as_folder, union = source(project), (project / OUT / "union.json").read_bytes()

    configure(project, path=files, columns=columns)
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    as_list = source(project)
    assert as_list == as_folder | {"input": files, "description": "2 files: 80 cells x 12 genes"}
    assert (project / OUT / "union.json").read_bytes() == union

    configure(project, path=files[::-1], columns=columns)
    assert ingest(project).returncode == 0
    assert (source(project), (project / OUT / "union.json").read_bytes()) == (as_list, union)


def stored(project: Path) -> dict[str, str]:
    """Hashes of the store that preprocess makes of what was ingested, by file; of dataset.json without the name."""
    with chdir(project):
        study = settled(project).cfm_vc.studies["pbmc"]
        for name, fold in folds(study, "pbmc").items():
            preprocess.run(fold.preprocess, StudyPaths("cfm_vc", "pbmc", name))
            store = StudyPaths("cfm_vc", "pbmc", name).store
    dataset = json.loads((project / store / "dataset.json").read_text())
    shards = sorted(path for path in (project / store).rglob("*") if path.is_file() and path.name != "dataset.json")
    hashes = {str(path.relative_to(project)): sha256(path) for path in shards}
    return hashes | {"dataset.json": json.dumps({**dataset, "description": "", "input_sha256": "", "notes": []})}


def test_the_store_is_the_same_for_any_order_of_files_and_of_genes_and_for_a_folder(project, lab_adata):
    """And holds the same cells as that of one file, whose shards are others: a shard is of one file."""
    lab_adata = lab_adata[:, sorted(lab_adata.var_names)].copy()
    order = np.argsort(lab_adata.obs["donor"], kind="stable")
    (whole := lab_adata[order].copy()).write_h5ad(project / "cells.h5ad")
    given = {"held_out": [{"cell_type": "B", "perturbation": "stim"}]}
    given |= {"preprocess": {"min_counts_per_cell": 1, "min_genes_per_cell": 1, "min_cells_per_gene": 1}}
    configure(project, study=given)
    assert ingest(project).returncode == 0
    stored(project)
    of_one_file = cells_of(project)
    files = split_up(whole, project / "donors", "donor")
    configure(project, path=files, study=given)
    assert ingest(project).returncode == 0
    expected = stored(project)
    assert cells_of(project) == of_one_file
    random = np.random.default_rng(0)
    shuffled = whole[whole.obs["donor"] == "d2", random.permutation(whole.n_vars)].copy()
    shuffled.write_h5ad(project / "donors/d2.h5ad")
    for path in (files, files[::-1], "donors"):
        configure(project, path=path, study=given)
        assert ingest(project).returncode == 0
        assert stored(project) == expected


def cells_of(project):
    """Counts of the cells of each split of the store, by name."""
    store = open_store(project / "data/processed/cfm_vc/pbmc/held_out")
    cells = {split: store.read(split) for split in SPLITS}
    return {
        split: dict(zip(found.names.tolist(), found.dense(slice(None)).tolist(), strict=True))
        for split, found in cells.items()
    }


def test_a_folder_may_hold_zarr_stores(project, lab_adata):
    split_up(lab_adata, project / "donors", "donor")
    anndata.read_h5ad(project / "donors/d2.h5ad").write_zarr(project / "donors/d2.zarr")
    (project / "donors/d2.h5ad").unlink()
    configure(project, path="donors")
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    assert "batches: 2 (d1, d2)" in done.stdout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": []}, "1 problem(s):\n  cfm_vc.studies.pbmc.ingest.path = []: expected at least 1"),
        (
            {"path": ["a.h5ad", 3]},
            "1 problem(s):\n  cfm_vc.studies.pbmc.ingest.path.1 = 3: Input should be a valid string",
        ),
        ({"path": 3}, "1 problem(s):\n  cfm_vc.studies.pbmc.ingest.path = 3: Input should be a valid string"),
        ({"counts": "raw"}, "cfm_vc.studies.pbmc.ingest.counts"),
        (
            {"path": ["a.h5ad", "b/a.h5ad"]},
            "cfm_vc.studies.pbmc.ingest.path names a.h5ad and b/a.h5ad: give one of them another name",
        ),
        ({"path": ["recipe.yaml", "params.yaml"]}, "params.yaml is not an HDF5 file"),
        ({"path": ["recipe.yaml", "a.h5ad"]}, "cfm_vc.studies.pbmc.ingest.path: a.h5ad not found"),
        ({"path": "donors"}, "cfm_vc.studies.pbmc.ingest.path: donors not found"),
    ],
)
def test_paths_and_places_that_cannot_be(project, changes, words):
    (project / "recipe.yaml").write_text("cells: 3")
    configure(project, **changes)
    assert_refused(project, ingest(project), words)


def test_controls_may_be_in_another_file(project, lab_adata):
    files = split_up(lab_adata, project / "conditions", "condition")
    configure(project, path=files)
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    assert "cells per group  ctrl  stim\nB                  20    20\n" in done.stdout
    assert "batches: 2 (d1, d2)" in done.stdout


def test_files_that_are_the_perturbation_are_no_batches(project, lab_adata):
    files = split_up(lab_adata, project / "conditions", "condition")
    configure(project, path=files, columns={"perturbation": "condition", "cell_type": "cluster", "batch": None})
    assert_refused(
        project,
        ingest(project),
        "ctrl.h5ad, stim.h5ad cannot be used, 1 problem",
        "each batch contains one perturbation only (ctrl has ctrl, stim has stim)",
        "set cfm_vc.studies.pbmc.ingest.columns.batch to a column",
        "or to one with the same label in all cells",
    )


def test_a_broken_file_is_told_by_its_own_stage_and_what_concerns_all_by_the_merge(project, lab_adata):
    files = split_up(lab_adata, project / "donors", "donor")
    lab_adata.obs = lab_adata.obs.rename(columns={"condition": "conditions"})
    lab_adata.write_h5ad(project / "donors/d3.h5ad")
    configure(project, path=[*files, "donors/d3.h5ad"])
    settled(project)
    refused = ingest_files(project, "cfm_vc", "pbmc")
    assert list(refused) == ["d3"]
    assert "donors/d3.h5ad cannot be used, 1 problem" in refused["d3"]
    assert "perhaps 'conditions'" in refused["d3"]
    assert sorted(path.name for path in (project / "data/inputs/cfm_vc/pbmc").iterdir()) == ["d1", "d2"]
    configure(project, path=files, control="none")
    assert_refused(
        project,
        ingest(project),
        "d1.h5ad, d2.h5ad cannot be used, 1 problem",
        "the control label 'none' among them",
    )


def test_files_with_doses_and_places(project, lab_adata):
    lab_adata.obs["dose"] = np.where(lab_adata.obs["donor"] == "d1", 1.0, 10.0)
    lab_adata.obsm["xy"] = np.arange(160.0).reshape(80, 2)
    files = split_up(lab_adata, project / "donors", "donor")
    configure(
        project, path=files, dose="dose", spatial="xy", columns={"perturbation": "condition", "cell_type": "cluster"}
    )
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    cells = read_raw(project / OUT)
    assert cells.uns["doses"] == {"ctrl": {}, "stim@1": {"stim": 1.0}, "stim@10": {"stim": 10.0}}
    np.testing.assert_array_equal(cells.obsm["spatial"], lab_adata[cells.obs_names].obsm["xy"])
    expected = [
        f"stim@{dose:g}" if label == "stim" else label
        for label, dose in lab_adata[cells.obs_names].obs[["condition", "dose"]].values
    ]
    assert list(cells.obs["perturbation"]) == expected


def test_without_a_batch_column_all_cells_are_one_batch_and_counts_are_looked_for(project, lab_adata):
    lab_adata.layers["counts"] = lab_adata.X.copy()
    lab_adata.X = lab_adata.X * 0.5
    lab_adata.obs["cluster"] = lab_adata.obs["cluster"].cat.rename_categories({"T": "Unassigned"})
    lab_adata.write_h5ad(project / "cells.h5ad")
    configure(project, columns={"perturbation": "condition", "cell_type": "cluster"})
    params = yaml.safe_load((project / "params.yaml").read_text())
    del params["cfm_vc"]["studies"]["pbmc"]["ingest"]["counts"]
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    assert "batches: 1 (all)" in done.stdout
    assert set(anndata.read_h5ad(project / OUT / "cells.h5ad").obs["batch"]) == {"all"}
    notes = [
        "40 cells without a cell type ('Unassigned'): theirs is 'unknown'",
        "the counts are those of layers/counts",
    ]
    assert source(project)["notes"] == notes


def test_an_input_that_nothing_tracks_is_noted_on_the_terminal_alone(project, lab_adata):
    lab_adata.write_h5ad(project / "cells.h5ad")
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "one"],
    ):
        subprocess.run(["git", *command], cwd=project, check=True)
    note = "note: cells.h5ad is not tracked; `dvc add cells.h5ad` versions it"
    assert ingest(project).stdout.count(note) == 1
    assert source(project)["notes"] == []
    (project / "cells.h5ad.dvc").write_text("outs: []\n")
    assert note not in ingest(project).stdout


def test_doses_combinations_and_places_become_the_standard_file(project, lab_adata):
    number = np.arange(80)
    lab_adata.obs["condition"] = np.where(number % 2, "B+A", "ctrl")
    lab_adata.obs["dose"] = 0.5
    lab_adata.obsm["xy"] = np.stack([number, -number], axis=1).astype(float)
    lab_adata.write_h5ad(project / "cells.h5ad")
    configure(project, dose="dose", combination="+", spatial="xy")
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    assert "cells per group  A+B@0.5  ctrl\n" in done.stdout
    cells = anndata.read_h5ad(project / OUT / "cells.h5ad")
    assert json.loads(cells.uns["doses"]) == {"A+B@0.5": {"A": 0.5, "B": 0.5}, "ctrl": {}}
    assert list(cells.obs["perturbation"]) == ["ctrl", "A+B@0.5"] * 40
    np.testing.assert_array_equal(cells.obsm["spatial"], lab_adata.obsm["xy"])
    assert json.loads((project / OUT / "source.json").read_text())["combination"] == "+"


def test_a_recipe_says_itself_what_its_cells_have(project):
    configure(project, path=str(ROOT / "tests/recipes/doses.yaml"), control="control", dose="dose", spatial="xy")
    words = "cfm_vc.studies.pbmc.ingest.dose and cfm_vc.studies.pbmc.ingest.spatial apply only to a lab's file"
    assert_refused(project, ingest(project), words)


def test_every_problem_of_a_bad_file_is_in_one_message(project, lab_adata):
    lab_adata.X = np.log1p(lab_adata.X.toarray() * 1.7)
    lab_adata.var_names = ["gene1", *lab_adata.var_names[1:]]
    lab_adata.write_h5ad(project / "cells.h5ad")
    configure(project, control="untreated")
    done = ingest(project)
    assert_refused(project, done, "3 problems", "'untreated'", "duplicate name (gene1)", "looks log-normalised")


@pytest.mark.parametrize("size", [0.3, 0.999])
def test_a_truncated_file_is_refused(project, lab_adata, size):
    lab_adata.write_h5ad(project / "cells.h5ad")
    os.truncate(project / "cells.h5ad", int(size * (project / "cells.h5ad").stat().st_size))
    assert_refused(project, ingest(project), "cells.h5ad is truncated")


def test_a_file_that_is_not_hdf5_or_not_there_is_refused(project):
    assert_refused(project, ingest(project), "cells.h5ad not found")
    (project / "cells.h5ad").write_text("cell,gene,count\n")
    assert_refused(project, ingest(project), "cells.h5ad is not an HDF5 file")


@pytest.mark.skipif(not KANG.exists(), reason="the real cells are not here (../shared/data/kang_ifnb_2donors.h5ad)")
def test_the_real_file_is_refused_with_samples_as_batches_and_accepted_with_donors(project):
    columns = {"perturbation": "group_id", "cell_type": "cluster_id", "batch": "sample_id"}
    configure(project, path=str(KANG), columns=columns)
    advice = r'use {column: sample_id, pattern: "(\\d+)$"}, which gives 101, 107'
    assert_refused(project, ingest(project), "each batch contains one perturbation only", advice)

    columns["batch"] = {"column": "sample_id", "pattern": r"(\d+)$"}
    configure(project, path=str(KANG), columns=columns)
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("kang_ifnb_2donors.h5ad: 1,556 cells x 1,267 genes\n")
    assert "batches: 2 (101, 107)" in done.stdout


# A disk that fills up after so many bytes: the write fails inside HDF5's callback, as the kernel would fail it.
FULL_DISK = """
import errno, io, runpy
from pipeline.core.errors import ExpectedError
from pipeline.data.h5ad_writer import DiskStream

room = {room}
def write_all(stream, content):
    global room
    room -= len(content)
    if room < 0:
        raise OSError(errno.ENOSPC, "No space left on device")
    io.FileIO.write(stream, content)

DiskStream._write_all = write_all
runpy.run_module("pipeline.cfm_vc.stages.ingest", run_name="__main__")
"""


@pytest.mark.parametrize("room", [0, 100_000, 2_500_000])
def test_a_full_disk_is_told_and_leaves_the_previous_result(project, lab_adata, room):
    lab_adata.write_h5ad(project / "cells.h5ad")
    done = ingest(project, "-c", FULL_DISK.format(room=room))
    assert_refused(project, done, "the disk is full", "free some space", "what was there before is unchanged")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_really_full_disk_is_told_as_well(project, lab_adata, tmp_path_factory):
    disk = project / "data/raw"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this container may not mount a small disk")
    try:
        (project / OUT).mkdir(parents=True)
        (project / OUT / "source.json").write_text("previous")
        lab_adata.write_h5ad(project / "cells.h5ad")
        assert_refused(project, ingest(project), "the disk is full")
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_an_unwritable_folder_is_told(project, lab_adata):
    lab_adata.write_h5ad(project / "cells.h5ad")
    (project / "data/raw").chmod(0o500)
    try:
        assert_refused(project, ingest(project), "permission denied")
    finally:
        (project / "data/raw").chmod(0o700)


def test_a_read_only_file_system_is_told(project, lab_adata):
    """As for the full disk: the error that the kernel gives, raised where a folder is made."""
    lab_adata.write_h5ad(project / "cells.h5ad")
    read_only = """
import errno, runpy, tempfile
def refuse(dir, **_):
    raise OSError(errno.EROFS, "Read-only file system", str(dir))
tempfile.mkdtemp = refuse
runpy.run_module("pipeline.cfm_vc.stages.ingest", run_name="__main__")
"""
    assert_refused(project, ingest(project, "-c", read_only), "data/raw", "the file system is read-only")
