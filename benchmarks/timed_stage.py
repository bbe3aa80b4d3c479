"""Runs a training stage and times its epochs: the stage's own code, with a clock around its training minibatches.

    python -m benchmarks.timed_stage vae_pretrain [--wait]

Prints the seconds of each epoch on a line of its own, `epoch <seconds>`; validation and checkpoints are between epochs.
With --wait it prints `ready` before each and waits for a line on standard input, so that two programs can take turns.
"""

import sys
import time
from collections.abc import Iterator
from typing import Any

from pipeline.cfm_vc.data.resident import ResidentCounts
from pipeline.cfm_vc.model.latent_pairs import LatentPairs


def time_epochs(source: Any, wait: bool) -> None:
    """Put the clock around `epoch` of this class: around what the first instance asked gives, each epoch once."""
    untimed = source.epoch
    seen: list[tuple[int, int]] = []

    def epoch(self: Any, number: int, start: int = 0) -> Iterator[Any]:
        if (seen and id(self) != seen[0][0]) or (id(self), number) in seen:  # validation, and the final losses
            yield from untimed(self, number, start)
            return
        seen.append((id(self), number))
        if wait:
            print("ready", flush=True)
            sys.stdin.readline()
        began = time.perf_counter()
        yield from untimed(self, number, start)
        print(f"epoch {time.perf_counter() - began:.4f}", flush=True)

    source.epoch = epoch


def main() -> None:
    stage, wait = sys.argv[1], "--wait" in sys.argv
    time_epochs({"vae_pretrain": ResidentCounts, "flow_train": LatentPairs}[stage], wait)
    module = __import__(f"pipeline.cfm_vc.stages.{stage}", fromlist=["run", "SECTION"])
    from pipeline.core.entry import run_stage

    sys.argv = [stage]
    run_stage(module.SECTION, module.run)


if __name__ == "__main__":
    main()
