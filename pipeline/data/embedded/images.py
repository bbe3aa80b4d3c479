"""The handwritten digits that scikit-learn ships: real, 1,797 of them, 8x8 pixels in 17 shades, of 43 people.

UCI "Optical recognition of handwritten digits" (Alpaydin and Kaynak, 1998), its test part. So the writers of the
training and of the test set are not told apart.
"""

import numpy as np
from sklearn.datasets import load_digits

from pipeline.data.pictures import Pictures, PictureSource

TEST_SHARE = 0.25


def digits(seed: int = 0) -> PictureSource:
    """A quarter of every digit, at random, is the test set."""
    bunch = load_digits()
    picture_NHWC = np.rint(bunch.images * 255 / 16).astype(np.uint8)[..., None]
    label_N = bunch.target.astype(np.int64)
    random = np.random.default_rng(seed)
    rows_of = [random.permutation(np.flatnonzero(label_N == digit)) for digit in range(10)]
    test = np.sort(np.concatenate([rows[: round(TEST_SHARE * len(rows))] for rows in rows_of]))
    train = np.setdiff1d(np.arange(len(label_N)), test)
    whole = Pictures(picture_NHWC, label_N)
    splits = {"train": whole.select(train), "test": whole.select(test)}
    return PictureSource(splits, [str(digit) for digit in range(10)])
