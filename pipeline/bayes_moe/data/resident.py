"""A split's images on the training device, and minibatches indexed from there.

N: images, B: images of a minibatch, C: channels, H, W: pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from pipeline.bayes_moe.data.images import Images

_PIXELS = 65_536  # of an evaluated minibatch: with fewer, calls cost as much as arithmetic (benchmarks.classification)


@dataclass(frozen=True)
class ImageBatch:
    """B images and their classes, on the training device but for `rows`."""

    rows: Tensor  # (B,) int64, on the CPU: which images of the split these are
    x_BCHW: Tensor  # float32 in [0, 1]
    label_B: Tensor  # int64

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, first: int, count: int) -> Self:
        """The minibatch of these of its images."""
        chosen = slice(first, first + count)
        return type(self)(*(value[chosen] for value in vars(self).values()))


class ResidentImages:
    """Minibatches of images that fit on the device. With `seed` None they come in the order of the split."""

    def __init__(self, images: Images, batch_size: int, device: torch.device, seed: int | None = None) -> None:
        self.batch_size, self.device, self.seed = batch_size, device, seed
        image_NCHW = np.ascontiguousarray(images.image_NHWC.transpose(0, 3, 1, 2))
        if image_NCHW.dtype == np.uint16:  # which torch hardly computes with
            image_NCHW = image_NCHW.astype(np.int32)
        self._image_NCHW, self._white = torch.from_numpy(image_NCHW).to(device), images.white
        self._label_N = torch.from_numpy(images.label_N).to(device)

    def __len__(self) -> int:
        """Minibatches of an epoch, whose sizes differ by one at most: batch norm needs two images."""
        images = len(self._label_N)
        return max(1, min(-(-images // self.batch_size), images // 2))

    def epoch(self, number: int, start: int = 0) -> Iterator[ImageBatch]:
        """Minibatches `start`, `start` + 1, ... of this epoch: the order depends on seed and epoch number alone."""
        images = len(self._label_N)
        if self.seed is None:
            order = torch.arange(images)
        else:
            order = torch.from_numpy(np.random.default_rng([self.seed, number]).permutation(images))
        for rows in order.tensor_split(len(self))[start:]:
            where = rows.to(self.device)
            yield ImageBatch(rows, self._image_NCHW[where].float() / self._white, self._label_N[where])

    def names(self, batch: ImageBatch) -> list[str]:
        """What a minibatch's images are called in messages: their places in the split."""
        return [f"image {row}" for row in batch.rows.tolist()]


def evaluated_at_once(images: Images, batch_size: int) -> int:
    """How many images an evaluation classifies at a time: more than a training step where they are small."""
    height, width = images.image_NHWC.shape[1:3]
    return max(batch_size, _PIXELS // int(height * width))
