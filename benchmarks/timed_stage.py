"""Runs a training stage of CFM-VC and times its epochs: the stage's own code, with a clock around its minibatches.

    python -m benchmarks.timed_stage vae_pretrain [--wait] [--most MINIBATCHES]

Of the study that benchmarks/generated_store.py writes, in the current folder, with the settings of its params.yaml.
Prints the seconds and cells of each epoch on a line of its own, `epoch <seconds> <cells>`; validation and checkpoints
are between epochs. With --wait it prints `ready` before each and waits for a line on standard input, so that two
programs can take turns. With --most every epoch ends after so many minibatches, and so do the losses at the end.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from benchmarks.generated_store import STUDY
from pipeline.cfm_vc.data.resident import ResidentCounts
from pipeline.cfm_vc.data.streamed import StreamedCounts
from pipeline.cfm_vc.model.latent_pairs import LatentPairs

SOURCES: dict[str, list[Any]] = {"vae_pretrain": [ResidentCounts, StreamedCounts], "flow_train": [LatentPairs]}


def time_epochs(source: Any, wait: bool, most: int | None) -> None:
    """Put the clock around `epoch` of this class: around what the first instance asked gives, each epoch once."""
    untimed = source.epoch
    seen: list[tuple[int, int]] = []

    def epoch(self: Any, number: int, start: int = 0) -> Iterator[Any]:
        batches = islice(untimed(self, number, start), most)
        if (seen and id(self) != seen[0][0]) or (id(self), number) in seen:  # validation, and the final losses
            yield from batches
            return
        seen.append((id(self), number))
        if wait:
            print("ready", flush=True)
            sys.stdin.readline()
        began, cells = time.perf_counter(), 0
        for batch in batches:
            cells += len(batch)
            yield batch
        print(f"epoch {time.perf_counter() - began:.4f} {cells}", flush=True)

    source.epoch = epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=SOURCES)
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--most", type=int)
    arguments = parser.parse_args()
    for source in SOURCES[arguments.stage]:
        time_epochs(source, arguments.wait, arguments.most)
    module = __import__(f"pipeline.cfm_vc.stages.{arguments.stage}", fromlist=["run", "SECTION"])
    from pipeline.core.entry import run_stage

    sys.argv = [arguments.stage]
    run_stage(module.SECTION, lambda settings: module.run(settings, STUDY))


if __name__ == "__main__":
    main()
