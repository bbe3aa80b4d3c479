"""Runs a training stage of CFM-VC and times its epochs: the stage's own code, with a clock around its minibatches.

    python -m benchmarks.timed_stage vae_pretrain [--wait] [--most MINIBATCHES] [--profile]

Of the study that benchmarks/generated_store.py writes, in the current folder, with the settings of its params.yaml.
Prints the seconds and cells of each epoch on a line of its own, `epoch <seconds> <cells>`; validation and checkpoints
are between epochs. With --wait it prints `ready` before each and waits for a line on standard input, so that two
programs can take turns. With --most every epoch ends after so many minibatches, and so do the losses at the end. With
--profile it also prints where the time of the second epoch went, by kind of operation, `profile <kind> <seconds>`.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any

from torch.profiler import ProfilerActivity, profile

from benchmarks.generated_store import STUDY
from pipeline.cfm_vc.data.resident import ResidentCounts
from pipeline.cfm_vc.data.streamed import StreamedCounts
from pipeline.cfm_vc.model.latent_pairs import LatentPairs

SOURCES: dict[str, list[Any]] = {"vae_pretrain": [ResidentCounts, StreamedCounts], "flow_train": [LatentPairs]}

PROFILED = 2  # the epoch: in the first, memory is still being allocated
# Kinds of operations, by how their names in torch begin; what is none of them counts as "rest".
KINDS = {
    "products": ("mm", "addmm", "bmm", "linear"),
    "optimizer": ("_fused_adamw", "_foreach_norm", "_foreach_mul", "linalg_vector_norm"),
    "non-zero counts": ("index_", "nonzero", "softplus", "sigmoid", "clamp"),
    "norms and activations": ("native_layer_norm", "silu", "native_dropout"),
    "cells x genes": ("_softmax", "log", "mul", "div", "add", "mv", "amax", "neg", "sub", "sum", "copy_"),
}


def time_epochs(source: Any, wait: bool, most: int | None, profiling: bool) -> None:
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
        record = profile(activities=[ProfilerActivity.CPU]) if profiling and len(seen) == PROFILED else None
        with record or nullcontext():
            for batch in batches:
                cells += len(batch)
                yield batch
        print(f"epoch {time.perf_counter() - began:.4f} {cells}", flush=True)
        if record:
            print_profile(record)

    source.epoch = epoch


def print_profile(record: profile) -> None:
    """Seconds of one thread that the operations took themselves, those called by them left out."""
    seconds = dict.fromkeys((*KINDS, "rest"), 0.0)
    for entry in record.key_averages():
        name = entry.key.removeprefix("aten::")
        kind = next((kind for kind, begins in KINDS.items() if name.startswith(begins)), "rest")
        seconds[kind] += entry.self_cpu_time_total / 1e6
    for kind, taken in seconds.items():
        print(f"profile {kind.replace(' ', '_')} {taken:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=SOURCES)
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--most", type=int)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    for source in SOURCES[arguments.stage]:
        time_epochs(source, arguments.wait, arguments.most, arguments.profile)
    module = __import__(f"pipeline.cfm_vc.stages.{arguments.stage}", fromlist=["run", "SECTION"])
    from pipeline.core.entry import run_stage

    sys.argv = [arguments.stage]
    run_stage(module.SECTION, lambda settings: module.run(settings, STUDY))


if __name__ == "__main__":
    main()
