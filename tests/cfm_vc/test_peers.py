"""What benchmarks/peers lets another method see, and how that method's cells are scored."""

import json
import sys

import anndata
import numpy as np
import pytest

from benchmarks.effects import SHOWN
from benchmarks.peers import answers
from benchmarks.peers.answers import CHANGE, read
from benchmarks.peers.exported import export, refuse_held_out
from benchmarks.peers.tables import as_markdown
from pipeline.cfm_vc.data.held_out import read_held_out
from pipeline.cfm_vc.evaluation.judge import judge
from pipeline.cfm_vc.params.evaluate import Evaluate

SETTINGS = Evaluate(bootstrap_replicates=0, top_genes=[5, 10], principal_components=4, cells_per_group=30)


@pytest.fixture
def exported(tmp_path, perturbation_store):
    """A store, its held-out groups, and what a peer sees of it: folder and groups asked for."""
    store = perturbation_store(tmp_path / "store")
    held_out = read_held_out(store, 30, 0)
    folder = tmp_path / "seen"
    return store, held_out, folder, export(store, held_out, folder, 30, 0)


def groups_of(file):
    obs = anndata.read_h5ad(file).obs
    return set(zip(obs["cell_type"].astype(str), obs["perturbation"].astype(str), strict=True))


def test_a_peer_sees_no_held_out_cell(exported):
    store, _, folder, _ = exported
    held_out = {(pair["cell_type"], pair["perturbation"]) for pair in store.dataset["held_out"]}
    assert held_out
    assert not groups_of(folder / "training.h5ad") & held_out
    assert {perturbation for _, perturbation in groups_of(folder / "controls.h5ad")} == {store.control}
    assert {path.name for path in folder.iterdir()} == {"training.h5ad", "controls.h5ad", "asked.json"}
    cells = anndata.read_h5ad(folder / "training.h5ad")
    assert cells.n_obs == store.cells("train") + store.cells("validation")
    assert list(cells.var_names) == store.genes


def test_a_store_with_a_held_out_cell_among_its_training_cells_is_refused(exported):
    store, _, _, asked = exported
    with pytest.raises(ValueError, match="held-out cell"):
        refuse_held_out(store.read("test"), asked.held_out)


def test_a_peer_starts_from_the_control_cells_of_every_method(exported):
    store, held_out, folder, asked = exported
    about = json.loads((folder / "asked.json").read_text())
    assert about["target"] == held_out.target
    assert len(about["groups"]) == len(asked.groups)
    controls = anndata.read_h5ad(folder / "controls.h5ad")
    for group in held_out.groups:
        rows = (controls.obs["cell_type"] == store.categories["cell_type"][group.cell_type]).to_numpy()
        np.testing.assert_array_equal(controls.X[rows].toarray(), group.control_cells.dense(slice(None)))


def test_what_a_peer_predicts_is_scored_as_any_method(exported, tmp_path):
    """The truth itself, as a peer's cells: perfect in the mean."""
    store, held_out, _, asked = exported
    out = tmp_path / "out"
    out.mkdir()
    truth = {(group.cell_type, group.perturbation): group.truth for group in held_out.groups}
    for number, group in enumerate(asked.groups):
        mean_G = truth[group].mean_G if group in truth else np.zeros(len(store.genes))
        np.save(out / f"{number}.npy", np.tile(mean_G, (3, 1)).astype(np.float32))
        np.save(out / f"{number}_change.npy", np.zeros(len(store.genes)))
    (out / "about.json").write_text(json.dumps({"versions": {"peer": "1"}, "trained": "3 steps"}))
    methods = read(out, asked.groups).methods("peer")
    assert list(methods) == ["peer", CHANGE]
    rows = []
    for group, name, found in judge(store, held_out, methods, SETTINGS).scores:
        if name in methods:
            about = {"method": name, "cell_type": str(group.cell_type), "perturbation": "drug", "seed": 0}
            rows += [about | {"metric": metric, "value": found[metric][0]} for metric in SHOWN if metric in found]
    perfect = [row["value"] for row in rows if (row["method"], row["metric"]) == ("peer", "pearson_change")]
    assert perfect == pytest.approx([1.0] * len(held_out.groups), abs=1e-5)
    none = [row["value"] for row in rows if (row["method"], row["metric"]) == (CHANGE, "slope_change")]
    assert none == pytest.approx([0.0] * len(held_out.groups), abs=1e-5)


PEER = """
import json, sys
from pathlib import Path
import numpy as np
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
asked = json.loads((folder / "asked.json").read_text())
out.mkdir()
for number, _ in enumerate(asked["groups"]):
    np.save(out / f"{number}.npy", np.full((2, 12), number, np.float32))
(out / "about.json").write_text(json.dumps({"versions": {}, "trained": sys.argv[4]}))
"""


def test_a_peer_runs_in_a_process_of_its_own_and_once_for_each_question(exported, tmp_path, monkeypatch):
    _, _, folder, asked = exported
    program = tmp_path / "peer" / "predict.py"
    program.parent.mkdir()
    program.write_text(PEER)
    (program.parent / "requirements.txt").touch()
    monkeypatch.setattr(answers, "HERE", tmp_path)
    monkeypatch.setattr(answers, "python_of", lambda _: sys.executable)
    out = tmp_path / "answers"
    found = answers.ask("peer", folder, out, asked.groups, 3, [])
    assert found.trained == "3"
    assert [cells[0, 0] for cells in found.population.values()] == list(range(len(asked.groups)))
    kept = (out / "0.npy").stat().st_mtime_ns
    answers.ask("peer", folder, out, asked.groups, 3, [])
    assert (out / "0.npy").stat().st_mtime_ns == kept
    assert answers.ask("peer", folder, out, asked.groups, 4, []).trained == "4"
    program.write_text("raise SystemExit('no cells')")
    with pytest.raises(SystemExit, match="no cells"):
        answers.ask("peer", folder, out, asked.groups, 4, [])


def test_a_peer_without_its_environment_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "HERE", tmp_path)
    with pytest.raises(SystemExit, match=r"setup\.sh scgen"):
        answers.python_of("scgen")


def test_the_tables_average_over_seeds_and_groups():
    about = {"perturbation": "drug", "seed": 0}
    rows = [
        about | {"method": method, "cell_type": cell_type, "metric": metric, "value": value}
        for method, value in (("CFM-VC", 0.5), ("scGen", 0.25))
        for cell_type in "AB"
        for metric in SHOWN
    ]
    rows += [row | {"seed": 1, "value": 1.0} for row in rows if row["method"] == "CFM-VC" and row["cell_type"] == "A"]
    lines = list(as_markdown(rows))
    assert lines[2].startswith("| CFM-VC | 2 | 0.625 |")
    assert lines[-1] == "| scGen | 2 | 0 |"  # a larger E-distance is worse
