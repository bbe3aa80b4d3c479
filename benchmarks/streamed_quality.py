"""Is the VAE that is trained on streamed cells as good as the one trained on cells in memory?

    python -m benchmarks.streamed_quality [--seeds 4]

The default study of CFM-VC, embedded data, with the settings of params.yaml: ingest, preprocess and `vae_pretrain` as
they are, for each seed three ways. These few thousand cells would be a single pool: here they have row groups of 64 and
pools of 512 cells, so that an epoch has several, of 8 row groups each, like that of a large store. Streamed as a single
pool they are the control: an order as random as that of cells in memory, but another one. Prints the validation ELBO of
each in nats per cell, and the epoch that was the best.
"""

import argparse
import statistics
import tempfile
from contextlib import chdir, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import yaml

from benchmarks.processes import load
from pipeline.cfm_vc.data import count_source
from pipeline.cfm_vc.data.folds import folds
from pipeline.cfm_vc.data.streamed import StreamedCounts
from pipeline.cfm_vc.params.system import CfmVc
from pipeline.cfm_vc.stages import ingest, preprocess, vae_pretrain
from pipeline.core.files import read_json
from pipeline.core.paths import StudyPaths
from pipeline.data.store import open_store

ROOT = Path(__file__).resolve().parents[1]
CELLS_PER_ROW_GROUP = 64
WAYS = {"held in memory": None, "streamed, one pool": 10**9, "streamed, pools of 512": 512}  # cells per pool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4, help="two or more")
    parser.add_argument("--epochs", type=int, help="fewer, to see that it runs")
    arguments = parser.parse_args()
    print(load(), flush=True)
    content = yaml.safe_load((ROOT / "params.yaml").read_text())["cfm_vc"]
    study = content["studies"] = {"pbmc": content["studies"]["pbmc"]}
    study["pbmc"]["ingest"]["path"] = str(ROOT / study["pbmc"]["ingest"]["path"])
    content["preprocess"] |= {"cells_per_row_group": CELLS_PER_ROW_GROUP, "cells_per_shard": 16 * CELLS_PER_ROW_GROUP}
    content["vae"] |= {"epochs": arguments.epochs} if arguments.epochs else {}
    system = CfmVc.model_validate(content)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        found = elbos(system, arguments.seeds)
    print("| seed | " + " | ".join(WAYS) + " |\n|---" + "|---" * len(WAYS) + "|")
    for seed in range(arguments.seeds):
        cells = [f"{elbo:.2f} (epoch {best})" for elbo, best in (found[way][seed] for way in WAYS)]
        print(f"| {seed} | " + " | ".join(cells) + " |")
    values = {way: [elbo for elbo, _ in of_seeds] for way, of_seeds in found.items()}
    both = (f"{statistics.mean(each):.2f} ± {statistics.stdev(each):.2f}" for each in values.values())
    print("| mean ± standard deviation | " + " | ".join(both) + " |")


def elbos(system: CfmVc, seeds: int) -> dict[str, list[tuple[float, int]]]:
    """Validation ELBO and best epoch of each seed, by the way its cells are read."""
    study = system.studies["pbmc"]
    at = StudyPaths("cfm_vc", "pbmc", "held_out", 0)
    with redirect_stdout(StringIO()):
        ingest.run(study.ingest, at)
        preprocess.run(folds(study, at.key)["held_out"].preprocess, at)
    store = open_store(at.store)
    row_groups = len(store.row_groups("train"))
    print(f"{store.cells('train'):,} training cells in {row_groups} row groups\n", flush=True)
    found: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
    for seed in range(seeds):
        at = StudyPaths("cfm_vc", "pbmc", "held_out", seed)
        for way, pool in WAYS.items():
            if pool:
                count_source.StreamedCounts = partial(StreamedCounts, cells_per_pool=pool)  # type: ignore[misc, assignment]
            limit = 0 if pool else 1000
            with redirect_stdout(StringIO()):
                vae_pretrain.run(study.vae.model_copy(update={"resident_mb": limit}), at)
            losses = read_json(at.training / f"{at.run}-vae.json")
            parts = losses["validation"]
            elbo = -(parts["reconstruction"] + parts["kl_int"] + parts["kl_tech"])
            found[way].append((elbo, losses["best_epoch"]))
    return found


if __name__ == "__main__":
    main()
