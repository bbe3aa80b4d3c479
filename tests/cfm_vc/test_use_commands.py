"""`predict`, `latent` and `decode` from file to file: the same as the Python API, in bounded memory, all or nothing."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from pipeline import cli
from pipeline.cfm_vc.trained import CELLS_PER_BLOCK, CfmVc
from pipeline.core.files import sha256

GENES = [f"gene{g}" for g in range(12)]
ROOT = Path(__file__).parents[2]


def lab_file(path: Path, cells: int = 40, layout=csr_matrix) -> anndata.AnnData:
    random = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "kind": pd.Categorical(np.array(["T", "platelet"])[np.arange(cells) % 2]),
            "depth": random.random(cells),
            "flag": np.arange(cells) % 3 == 0,
            "note": np.where(np.arange(cells) % 2, "x", "y").astype(object),
            "condition": np.array(["control", "B"])[np.arange(cells) // 2 % 2],
        },
        index=[f"cell{i}" for i in range(cells)],
    )
    counts = layout(random.poisson(3.0, (cells, 12)).astype(np.float32))
    adata = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=GENES))
    adata.write_h5ad(path)
    return adata


@pytest.fixture
def work(saved_cfm_vc, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved_cfm_vc(Path("models/cfm_vc/pbmc/held_out/seed_0"))
    return tmp_path


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return int(ended.value.code or 0)


def same(one: anndata.AnnData, two: anndata.AnnData) -> None:
    assert list(one.obs_names) == list(two.obs_names)
    assert list(one.var_names) == list(two.var_names)
    assert sorted(one.obsm) == sorted(two.obsm)
    for key in one.obsm:
        np.testing.assert_array_equal(one.obsm[key], two.obsm[key])
    pd.testing.assert_frame_equal(one.obs, two.obs, check_dtype=False, check_categorical=False)
    if one.X is None:
        assert two.X is None
    elif isinstance(one.X, np.ndarray):
        np.testing.assert_array_equal(one.X, two.X)
        assert one.X.dtype == two.X.dtype
    else:
        assert (one.X != two.X).nnz == 0
        assert one.X.dtype == two.X.dtype == np.int32


@pytest.mark.parametrize("layout", [csr_matrix, csc_matrix, np.asarray])
@pytest.mark.parametrize("output", ["counts", "means"])
def test_the_files_hold_what_the_python_api_returns(work, layout, output):
    adata = lab_file(Path("cells.h5ad"), layout=layout)
    told = ["--data", "cells.h5ad", "--cell-type-column", "kind", "--perturbation-column", "condition"]
    sampled = ["--output", output, "--seed", "3"]
    assert call("predict", *told, "--perturbation", "A@10", "--dose", "2", "--out", "predicted.h5ad", *sampled) == 0
    assert call("latent", *told, "--out", "latents.h5ad") == 0
    assert call("decode", "--latents", "latents.h5ad", "--library-size", "50", "--out", "decoded.h5ad", *sampled) == 0

    model = CfmVc.load()
    adata = adata[adata.obs["condition"] == "control"].copy()
    predicted = model.predict(adata, "A@10", 2.0, cell_type_column="kind", output=output, seed=3)
    latents = model.latent(adata, cell_type_column="kind")
    for name, expected in (
        ("predicted", predicted),
        ("latents", latents),
        ("decoded", model.decode(latents, 50, output=output, seed=3)),
    ):
        written = anndata.read_h5ad(f"{name}.h5ad")
        same(written, expected)
        origin = written.uns["celldag"]
        assert origin["dataset_sha256"] == "d" * 64
        assert origin["flow_sha256"] == sha256(Path("models/cfm_vc/pbmc/held_out/seed_0/flow/weights.safetensors"))
        assert origin["input_sha256"] == sha256(Path("latents.h5ad" if name == "decoded" else "cells.h5ad"))
    assert list(predicted.uns["celldag"]["notes"]) == list(anndata.read_h5ad("predicted.h5ad").uns["celldag"]["notes"])


def test_the_same_call_writes_the_same_bytes(work):
    lab_file(Path("cells.h5ad"))
    for out in ("one.h5ad", "two.h5ad"):
        assert call("predict", "--data", "cells.h5ad", "--perturbation", "B", "--out", out) == 0
    assert Path("one.h5ad").read_bytes() == Path("two.h5ad").read_bytes()


def test_a_combination_has_a_dose_for_each_treatment(work, capsys):
    lab_file(Path("cells.h5ad"))
    doses = ["--dose", "A=20", "--dose", "B=0.5"]
    assert call("predict", "--data", "cells.h5ad", "--perturbation", "A+B", *doses, "--out", "out.h5ad") == 0
    assert list(anndata.read_h5ad("out.h5ad").uns["celldag"]["arguments"]["doses"]) == ["A=20", "B=0.5"]
    assert "dose 20 of A is outside the training range (0.1 to 10)" in capsys.readouterr().out


def test_a_few_lines_say_what_was_done(work, capsys):
    adata = lab_file(Path("cells.h5ad"))
    adata[:, :10].copy().write_h5ad("cells.h5ad")
    told = ["--cell-type-column", "kind", "--batch", "a"]
    call("predict", "--data", "cells.h5ad", "--perturbation", "B", *told, "--out", "o.h5ad")
    assert capsys.readouterr().out.splitlines() == [
        "40 cells predicted under B",
        "genes: 10 of the model's 12 found, 2 taken as zero (gene10, gene11)",
        'cell type treated as "unknown": platelet (20 cells)',
        "wrote o.h5ad",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--perturbation", "A@01"],
            "perturbation 'A@01' is unknown to the model, perhaps 'A@0.1'; it knows control, A",
        ),
        (["--perturbation", "A+B", "--dose", "1"], "one dose for 'A+B', which stands for A, B"),
        (["--perturbation", "A", "--dose", "much"], "--dose much: expected a number"),
        (["--perturbation", "A", "--dose", "1", "--dose", "2"], "each names its own treatment"),
        (["--perturbation", "A", "--data", "absent.h5ad"], "absent.h5ad not found"),
        (["--perturbation", "A", "--data", "empty.h5ad"], "cells in obs: found none"),
        (["--perturbation", "A", "--counts", "layers/raw"], "counts in layers/raw: found matrices in X only"),
        (["--perturbation", "A", "--out", "cells.h5ad"], "cells.h5ad is the input"),
        (["--perturbation", "A", "--out", "exists.h5ad"], "exists.h5ad exists: name another file, or add --overwrite"),
        (["--perturbation", "A", "--model", "absent"], "no usable model in absent/vae"),
        (["--perturbation", "A", "--steps", "0"], "--steps 0: expected a whole number from 1 to 1,000"),
        (["--perturbation", "A", "--steps", "2000000"], "--steps 2000000: expected a whole number from 1 to 1,000"),
        (["--perturbation", "A", "--seed", "-1"], "--seed -1: expected a whole number from 0 to 4,294,967,295"),
        (["--perturbation", "A", "--guidance", "inf"], "--guidance inf: expected a number from 0 to 1,000"),
        (["--perturbation", "A", "--dose", "-1"], "--dose -1: expected a number from 0 to 1,000,000,000"),
        (["--perturbation", "A", "--dose", "A=1e30"], "--dose 1e+30: expected a number from 0 to 1,000,000,000"),
        (["--perturbation", "A", "--out", "pipe", "--overwrite"], "pipe is no regular file (a device, named pipe"),
        (
            ["--perturbation", "A", "--out", "link", "--overwrite"],
            "link is a symbolic link to exists.h5ad: name its target",
        ),
        (["--perturbation", "A", "--out", "nowhere", "--overwrite"], "nowhere is a symbolic link to nowhere: name"),
        (["--perturbation", "A", "--cell-type-column", "kin"], "no column 'kin', perhaps 'kind'; it has kind, depth"),
        (["--perturbation", "A", "--data", "text.h5ad"], "text.h5ad is not an HDF5 file"),
        (["--perturbation", "A", "--data", "negative.h5ad"], "1 negative value (down to -1), such as -1 in cell 36"),
    ],
)
def test_what_is_wrong_is_one_message_and_nothing_is_written(work, capsys, arguments, message):
    adata = lab_file(Path("cells.h5ad"))
    adata[:0].copy().write_h5ad("empty.h5ad")
    Path("exists.h5ad").write_text("mine")
    Path("text.h5ad").write_text("no HDF5")
    os.mkfifo("pipe")
    Path("link").symlink_to("exists.h5ad")
    Path("nowhere").symlink_to("nowhere")
    adata.X = adata.X.toarray()
    adata.X[35, 4] = -1
    adata.write_h5ad("negative.h5ad")
    before = {path: path.read_bytes() for path in work.glob("*") if path.is_file()}
    assert call("predict", "--data", "cells.h5ad", "--out", "new.h5ad", *arguments) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in work.glob("*") if path.is_file()} == before
    assert not list(work.glob(".*partial"))
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)


def test_overwrite_replaces_the_file(work):
    lab_file(Path("cells.h5ad"))
    Path("out.h5ad").write_text("old")
    assert call("predict", "--data", "cells.h5ad", "--perturbation", "B", "--out", "out.h5ad", "--overwrite") == 0
    assert anndata.read_h5ad("out.h5ad").shape == (40, 12)


def test_no_more_than_a_block_of_cells_is_held(work, monkeypatch):
    """Every block that is read is gone, but for the one that is being regrouped, when the next one is predicted."""
    import gc
    import weakref

    import pipeline.cfm_vc.trained as module

    lab_file(Path("cells.h5ad"), cells=6 * CELLS_PER_BLOCK)
    alive: list[weakref.ref] = []
    most = 0
    predict = module.predict_cells

    def watched(*arguments):
        nonlocal most
        made = predict(*arguments)
        alive.append(weakref.ref(made.x_BG))
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))
        return made

    monkeypatch.setattr(module, "predict_cells", watched)
    assert call("predict", "--data", "cells.h5ad", "--perturbation", "B", "--out", "out.h5ad") == 0
    assert len(alive) == 6
    assert most <= 2
    with h5py.File("out.h5ad") as file:
        assert file["obsm/X_z_int"].shape == (6 * CELLS_PER_BLOCK, 4)


# Not ru_maxrss, which starts at what the process that forked held.
MEASURED = """
import sys
from pathlib import Path
from pipeline.cli import main
try:
    main(sys.argv[1:])
finally:
    print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_counts(work, saved_cfm_vc):
    """300 expressed genes take 2.4 kB a cell: 45,000 cells more are 108 MB of input, and as much of output."""
    genes, per_cell = 400, 300
    saved_cfm_vc(Path("wide"), genes=genes)
    peak = {}
    for cells in (5_000, 50_000):
        random = np.random.default_rng(0)
        indices = np.tile(np.arange(per_cell, dtype=np.int32), cells)
        parts = (np.ones(len(indices), np.float32), indices, np.arange(0, len(indices) + 1, per_cell))
        obs = pd.DataFrame({"depth": random.random(cells)}, index=[f"cell{i}" for i in range(cells)])
        var = pd.DataFrame(index=[f"gene{g}" for g in range(genes)])
        anndata.AnnData(csr_matrix(parts, (cells, genes)), obs=obs, var=var).write_h5ad("cells.h5ad")
        arguments = ["predict", "--data", "cells.h5ad", "--perturbation", "B", "--model", "wide", "--steps", "1"]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments, "--out", "out.h5ad", "--overwrite"],
            capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"},
        )  # fmt: skip
        peak[cells] = int(done.stdout.splitlines()[-1]) / 1024
    assert peak[50_000] - peak[5_000] < 60, json.dumps(peak)
