"""Pictures of a whole split on the training device, and minibatches indexed from there.

N: pictures, B: pictures of a minibatch, C: channels, H, W: pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.bayes_moe.data.pictures import Pictures


@dataclass(frozen=True)
class PictureBatch:
    """B pictures and their classes, on the training device but for `rows`."""

    rows: Tensor  # (B,) int64, on the CPU: which pictures of the split these are
    x_BCHW: Tensor  # float32 in [0, 1]
    label_B: Tensor  # int64

    def __len__(self) -> int:
        return len(self.rows)


class ResidentPictures:
    """Minibatches of pictures that fit on the device. With `seed` None they come in the order of the split."""

    def __init__(self, pictures: Pictures, batch_size: int, device: torch.device, seed: int | None = None) -> None:
        self.batch_size, self.device, self.seed = batch_size, device, seed
        picture_NCHW = np.ascontiguousarray(pictures.picture_NHWC.transpose(0, 3, 1, 2))
        self._picture_NCHW = torch.from_numpy(picture_NCHW).to(device)
        self._label_N = torch.from_numpy(pictures.label_N).to(device)

    def __len__(self) -> int:
        """Minibatches of an epoch, whose sizes differ by one at most: batch norm can do nothing with a rest of one."""
        pictures = len(self._label_N)
        return max(1, min(-(-pictures // self.batch_size), pictures // 2))

    def epoch(self, number: int, start: int = 0) -> Iterator[PictureBatch]:
        """Minibatches `start`, `start` + 1, ... of this epoch: the order depends on seed and epoch number alone."""
        pictures = len(self._label_N)
        if self.seed is None:
            order = torch.arange(pictures)
        else:
            order = torch.from_numpy(np.random.default_rng([self.seed, number]).permutation(pictures))
        for rows in order.tensor_split(len(self))[start:]:
            where = rows.to(self.device)
            yield PictureBatch(rows, self._picture_NCHW[where].float() / 255, self._label_N[where])

    def names(self, batch: PictureBatch) -> list[str]:
        """What a minibatch's pictures are called in messages: their places in the split."""
        return [f"picture {row}" for row in batch.rows.tolist()]
