"""The same seed on the same machine gives the same result: threads, algorithms and random numbers.

Every random draw comes from a generator seeded by (seed, purpose, epoch, step), so a checkpoint holds no random state:
a run resumed at epoch 7, step 30 draws the same numbers there as an uninterrupted one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch

from pipeline.core.errors import ExpectedError
from pipeline.params.section import Device
from pipeline.training.processes import process_device


class Purpose(IntEnum):
    """What random numbers are used for; each has its own stream."""

    INITIAL_WEIGHTS = 0
    ORDER = 1  # of the cells in an epoch, and how they are paired
    TRAINING = 2  # dropout, sampled latents, times
    VALIDATION = 3  # the same in validation: fixed, so that epochs compare
    PREDICTION = 4  # initial states of the flow, sampled counts
    CALIBRATION = 5  # sampled counts by which the size of effects is measured and set


def entropy(seed: int, purpose: Purpose, *place: int) -> list[int]:
    """Seed of numpy's default_rng for this purpose at this place (epoch, step)."""
    return [seed, int(purpose), *place]


def torch_generator(device: torch.device, seed: int, purpose: Purpose, *place: int) -> torch.Generator:
    """A generator on the device for this purpose at this place."""
    state = np.random.SeedSequence(entropy(seed, purpose, *place)).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) >> 1)  # torch takes 63 bits


def member_seed(seed: int | None, member: int) -> int:
    """The seed of a member of an ensemble, whose first has the given one."""
    own = np.random.SeedSequence([seed or 0, member]).generate_state(1)[0]
    return int(own) >> 1 if member else seed or 0


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Modules built inside this context get initial weights that depend on the seed alone.

    torch's initialisers draw from its global generator only; its state is restored afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_generator(torch.device("cpu"), seed, Purpose.INITIAL_WEIGHTS).initial_seed())
        yield


def prepare_device(device: Device, threads: int) -> torch.device:
    """The device to use, with torch set to `threads` CPU threads and to deterministic algorithms.

    Each of several processes has so many threads, and a GPU of its own.

    ExpectedError where cuda is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ExpectedError("device: cuda, but no CUDA device is usable here; set device: cpu or auto in params.yaml")
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms, without importing the compiler
    # Filling every new tensor with NaN first is for debugging, and costs a pass over each.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return process_device(torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"))
