"""The stage `preprocess` by several workers: the same bytes as by one, and no half store when one of them fails."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.cfm_vc.stages import preprocess as stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.data.pieces import cut
from pipeline.data.store import open_store
from tests.cfm_vc.test_preprocess import AT, CELLS, PROJECT, STORE, codes, counts, settings, shards, write_raw
from tests.test_workers import of_this_process

RAW = Path("data/raw/cfm_vc/pbmc/cells.h5ad")


@pytest.fixture
def _small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.data.pieces.CELLS_PER_PIECE", 300)
    monkeypatch.setattr("pipeline.data.shuffle.CELLS_PER_RUN", 8)
    write_raw(counts(), codes(), spatial=np.random.default_rng(3).normal(size=(CELLS, 2)))


@pytest.mark.usefixtures("_small_pieces")
def test_any_number_of_workers_gives_the_same_bytes() -> None:
    stage.run(settings(), AT)
    expected = shards()
    assert len([path for path in expected if "train/part" in path]) >= 5, "the data must exercise pieces"
    for workers in (2, 4):
        shutil.rmtree(STORE)
        stage.run(settings(workers=workers), AT)
        assert shards() == expected
    store = open_store(STORE)
    assert sorted(path.name for path in STORE.iterdir()) == [
        "dataset.json",
        "genes.parquet",
        "test",
        "train",
        "validation",
    ]
    files = [shard["file"] for shard in store.dataset["splits"]["train"]["shards"]]
    assert files == [f"train/part-{number:05d}.parquet" for number in range(len(files))]
    assert all(sha256(STORE / shard["file"]) == shard["sha256"] for shard in store.dataset["splits"]["test"]["shards"])


@pytest.mark.usefixtures("_small_pieces")
def test_every_piece_holds_cells_from_all_over_the_file() -> None:
    stage.run(settings(workers=2, cells_per_shard=64), AT)
    store = open_store(STORE)
    for row_group in store.row_groups("train"):
        if row_group.cells == 64:  # the file is sorted by perturbation
            assert np.bincount(store.read_row_group(row_group).perturbation, minlength=3).max() < 0.75 * 64


@pytest.mark.parametrize(("files", "most"), [([(0, 1000)], 1000), ([(0, 1000)], 300), ([(0, 7), (7, 7), (7, 90)], 40)])
def test_pieces_cover_every_row_once(files: list[tuple[int, int]], most: int) -> None:
    pieces = cut(files, most)
    rows = [row for piece in pieces for row in range(piece.rows.start, piece.rows.stop)]
    assert rows == list(range(files[-1][1]))
    assert max(piece.rows.stop - piece.rows.start for piece in pieces) <= most
    dealt = [row for piece in pieces for run in piece.dealt(3)[0] for row in range(*run)]
    assert sorted(dealt) == rows
    for piece in pieces:
        assert all(piece.first <= start < stop <= piece.end for start, stop in piece.dealt(3)[0])


def test_pieces_have_random_streams_of_their_own() -> None:
    streams = {(piece.file, piece.number): piece.dealt(0)[1].random() for piece in cut([(0, 100), (100, 200)], 50)}
    assert len(set(streams.values())) == len(streams) == 4


@pytest.mark.usefixtures("_small_pieces")
def test_damage_that_one_worker_meets_is_one_message() -> None:
    stage.run(settings(), AT)
    before, raw = shards(), RAW.read_bytes()
    with h5py.File(RAW, "r+") as file:
        file["X/indices"][-1] = 10**6
    with pytest.raises(ExpectedError, match=r"cells\.h5ad is not what ingest writes: its gene indices .* near cell"):
        stage.run(settings(workers=2), AT)
    assert shards() == before
    assert_nothing_is_left()
    RAW.write_bytes(raw)
    stage.run(settings(workers=2), AT)
    assert shards() == before


STAGE = """
from pipeline.cfm_vc.params.preprocess import FoldPreprocess
from pipeline.cfm_vc.stages import preprocess
from pipeline.core.entry import guarded
from pipeline.core.paths import StudyPaths
from pipeline.core.workers import Workers
from pipeline.data import pieces, shuffle

pieces.CELLS_PER_PIECE, shuffle.CELLS_PER_RUN = 300, 8

def killing_one(self, function, tasks, each=Workers.each):
    if function.__name__ == {killed_before!r}:
        list(self._children.values())[-1].kill()
    return each(self, function, tasks)

Workers.each = killing_one
guarded(lambda: preprocess.run(FoldPreprocess.model_validate_json({settings!r}), {at!r}))
"""


def ended(killed_before: str = "", **changed: object) -> subprocess.CompletedProcess[str]:
    """The stage, by two workers, as a program; one of them is killed before the pass of this name."""
    text = settings(workers=2, **changed).model_dump_json()
    program = STAGE.format(settings=text, at=AT, killed_before=killed_before)
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run([sys.executable, "-c", program], env=environment, text=True, capture_output=True, check=False)


def assert_nothing_is_left() -> None:
    assert not of_this_process()
    assert not list(Path("data").rglob("*.partial"))


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize("killed_before", ["quality", "write"])
def test_a_killed_worker_is_one_sentence(killed_before: str) -> None:
    stage.run(settings(), AT)
    before = shards()
    done = ended(killed_before, seed=5)
    assert done.returncode == 2, done
    assert re.fullmatch(r"error: a worker process of this stage was ended by SIGKILL \(.*\n", done.stderr), done
    assert shards() == before
    assert_nothing_is_left()
    assert ended().returncode == 0
    assert shards() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@pytest.mark.usefixtures("_small_pieces")
def test_a_full_disk_on_a_worker_is_one_sentence() -> None:
    raw, disk = sha256(RAW), Path("data/processed")
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this container may not mount a small disk")
    try:
        STORE.mkdir(parents=True)
        (STORE / "dataset.json").write_text("previous")
        done = ended()
        assert done.returncode == 2, done
        sentence = r"error: cannot read or write.*pbmc/held_out.*: the disk is full: free some .*\n"
        assert re.fullmatch(sentence, done.stderr), done
        assert (STORE / "dataset.json").read_text() == "previous"
        assert sha256(RAW) == raw
        assert_nothing_is_left()
    finally:
        subprocess.run(["umount", disk], check=True)
    stage.run(settings(workers=2), AT)
    assert open_store(STORE).cells("train") > 0
