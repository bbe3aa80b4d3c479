"""Training on streamed cells: which are, killed and resumed, in two processes, and in how much memory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml

from benchmarks.generated_store import write_store
from pipeline.cfm_vc.data.count_batch import CountBatch
from pipeline.cfm_vc.data.count_source import count_batches, resident_bytes
from pipeline.cfm_vc.data.resident import ResidentCounts
from pipeline.cfm_vc.data.streamed import StreamedCounts
from pipeline.cfm_vc.model.vae import VaeObjective
from pipeline.cfm_vc.params.vae import Vae
from pipeline.training import fit as fit_module
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.determinism import initial_weights
from pipeline.training.fit import fit
from tests.cfm_vc.small_models import small_vae
from tests.settled import settled
from tests.stages.stage_process import ROOT, kill_after, run
from tests.training.line import KilledError

CPU = torch.device("cpu")
STAGE, INSTANCE = "pipeline.cfm_vc.stages.vae_pretrain", "pbmc-held_out-0"
MODEL = Path("models/cfm_vc/pbmc/held_out/seed_0/vae")


def test_the_choice_is_by_size_alone_and_said_in_a_line(perturbation_store, capsys):
    store = perturbation_store(cells_per_group=4000, genes=40)
    size = resident_bytes(store)
    limit = -(-size // 10**6)
    resident = count_batches(store, Vae(resident_mb=limit), CPU)
    held = capsys.readouterr().out
    streamed = count_batches(store, Vae(resident_mb=limit - 1), CPU)
    read = capsys.readouterr().out
    assert all(isinstance(source, ResidentCounts) for source in resident)
    assert all(isinstance(source, StreamedCounts) for source in streamed)
    taken = f"{size / 1e6:,.1f} MB"
    assert held == f"vae: 28,000 cells are held in memory, of which they take {taken} (resident_mb: {limit})\n"
    assert read == (
        f"vae: 28,000 cells are streamed from the store: in memory they would take {taken} (resident_mb: {limit - 1})\n"
    )


def test_the_size_is_that_of_the_arrays(perturbation_store):
    store = perturbation_store(cells_per_group=400, genes=40)
    held = 0
    for split in ("train", "validation"):
        cells = store.read(split)
        arrays = [
            cells.indptr,
            cells.indices,
            cells.counts,
            cells.library_size,
            cells.names,
            *cells.covariates.values(),
        ]
        held += sum(array.nbytes for array in arrays) + 4 * len(cells) + sum(map(sys.getsizeof, cells.names))
    assert resident_bytes(store) == pytest.approx(held, rel=0.1)


class Killed(StreamedCounts):
    """Ends the process, as it were, before a minibatch."""

    kill_at: tuple[int, int] | None = None

    def epoch(self, number: int, start: int = 0) -> Iterator[CountBatch]:
        for step, batch in enumerate(super().epoch(number, start), start):
            if (number, step) == self.kill_at:
                raise KilledError
            yield batch


@pytest.mark.parametrize("kill_at", [(0, 2), (0, 7), (1, 0), (2, 13)])
def test_a_killed_training_goes_on_to_the_same_bits(perturbation_store, tmp_path, monkeypatch, kill_at):
    """Of 14 steps an epoch from pools of 2 row groups; a checkpoint every 3 steps, in the middle of pools."""
    monkeypatch.setattr(fit_module, "CHECKPOINT_STEPS", 3)
    store = perturbation_store()
    settings = Vae(batch_size=16, epochs=3, patience=3, latent_intrinsic=4, latent_technical=2, hidden=[8])

    def trained(folder, kill_at=None):
        with initial_weights(0):
            objective = VaeObjective(small_vae(), 1.0, 10.0)
        train = Killed(store, "train", 16, CPU, 0, 60)
        train.kill_at = kill_at
        validation = StreamedCounts(store, "validation", 16, CPU, None, 20)
        fitted = fit("vae", objective, train, validation, settings, CPU, Checkpoints(folder))
        return objective.state_dict(), fitted

    expected, uninterrupted = trained(tmp_path / "one")
    with pytest.raises(KilledError):
        trained(tmp_path / "two", kill_at)
    weights, resumed = trained(tmp_path / "two")
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert resumed == uninterrupted


@pytest.fixture
def project(tmp_path, perturbation_store):
    """Makes a project whose VAE streams its cells."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        perturbation_store(folder / "data/processed/cfm_vc/pbmc/held_out")
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["cfm_vc"]["vae"] |= {
            "hidden": [32], "latent_intrinsic": 4, "latent_technical": 2, "batch_size": 16, "epochs": 8,
            "resident_mb": 0,
        }  # fmt: skip
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        settled(folder)
        return folder

    return make


@pytest.mark.slow
def test_the_stage_is_killed_and_goes_on_to_the_same_bytes(project):
    whole, killed = project("whole"), project("killed")
    assert "streamed from the store" in run(whole, STAGE, INSTANCE)
    kill_after(killed, STAGE, INSTANCE, said=" validation ", times=3)
    assert "continues at epoch" in run(killed, STAGE, INSTANCE)
    assert {file.name for file in (whole / MODEL).iterdir()} == {"weights.safetensors", "config.json"}
    for file in (whole / MODEL).iterdir():
        assert (killed / MODEL / file.name).read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_two_processes_train_as_one_does(project):
    one, two = project("one"), project("two")
    run(one, STAGE, INSTANCE)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    ended = subprocess.run(
        [*launch, STAGE, INSTANCE],
        cwd=two, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("streamed from the store") == 1
    expected, found = (safetensors.torch.load_file(folder / MODEL / "weights.safetensors") for folder in (one, two))
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-2, atol=1e-3, msg=name)


# VmHWM, since ru_maxrss of a process begins with that of its parent.
MEMORY = """
import re, sys
from pathlib import Path
import torch
from pipeline.cfm_vc.data.streamed import StreamedCounts
from pipeline.data.store import open_store
torch.set_num_threads(1)
source = StreamedCounts(open_store(Path(sys.argv[1])), "train", 256, torch.device("cpu"), 0, 8192)
cells = sum(len(batch) for batch in source.epoch(0))
print(cells, int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_store(tmp_path):
    peak = []
    for cells in (20_000, 100_000):
        folder = tmp_path / str(cells)
        nonzeros = write_store(folder, {"train": cells})
        ended = subprocess.run(
            [sys.executable, "-c", MEMORY, folder],
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        read, mib = map(int, ended.stdout.split())
        assert read == cells
        peak.append((mib, 8 * nonzeros / 2**20))
    (small, few), (large, many) = peak
    assert many - few > 100  # MiB of counts
    assert large - small < 0.3 * (many - few)
