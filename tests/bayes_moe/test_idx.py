"""MNIST's format, from files written here byte by byte."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline.bayes_moe.data import idx
from pipeline.bayes_moe.data.idx import idx_files, read_idx
from pipeline.bayes_moe.data.image_source import read_image_source
from pipeline.core.errors import ExpectedError


def idx_bytes(values: np.ndarray, kind: int = 8) -> bytes:
    """The format as its authors describe it."""
    return bytes([0, 0, kind, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write(folder: Path, prefix: str = "", packed: bool = True, **labels: list[int]) -> dict[str, np.ndarray]:
    """Images of 5 x 4 pixels for each split, with these labels."""
    folder.mkdir(exist_ok=True)
    images = {}
    for place, (split, of) in enumerate(labels.items()):
        images[split] = np.random.default_rng(place).integers(0, 256, (len(of), 5, 4)).astype(np.uint8)
        for part, values in (("images-idx3", images[split]), ("labels-idx1", np.array(of, np.uint8))):
            content = idx_bytes(values)
            name = f"{prefix}{split}-{part}-ubyte{'.gz' * packed}"
            (folder / name).write_bytes(gzip.compress(content) if packed else content)
    return images


@pytest.mark.parametrize("packed", [True, False])
def test_images_and_labels_of_both_splits_are_read_as_they_are(tmp_path: Path, packed: bool):
    images = write(tmp_path, packed=packed, train=[0, 1, 2, 1], t10k=[2, 0])
    source = read_image_source(tmp_path, 32, None)
    assert source.classes == ["0", "1", "2"]
    for split, name, labels in (("train", "train", [0, 1, 2, 1]), ("test", "t10k", [2, 0])):
        np.testing.assert_array_equal(source.splits[split].image_NHWC, images[name][..., None])
        assert source.splits[split].label_N.tolist() == labels
        assert source.splits[split].label_N.dtype == np.int64


def test_other_names_a_validation_set_and_labels_that_begin_at_one(tmp_path: Path):
    write(tmp_path, prefix="emnist-letters-", train=[1, 2, 26], val=[26, 1], test=[2, 1])
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", ".idx").upper())  # as some unpack and rename them
    (tmp_path / "readme.txt").write_text("letters")
    source = read_idx(tmp_path)
    assert source.classes == ["1", "2", "26"]
    assert {split: images.label_N.tolist() for split, images in source.splits.items()} == {
        "test": [1, 0],
        "train": [0, 1, 2],
        "validation": [2, 0],
    }


def test_an_unpacked_file_beside_its_archive_is_the_same(tmp_path: Path):
    write(tmp_path, packed=True, train=[0, 1], t10k=[1, 0])
    images = write(tmp_path, packed=False, train=[0, 1], t10k=[1, 0])
    assert len(idx_files(tmp_path)) == 8
    np.testing.assert_array_equal(read_idx(tmp_path).splits["train"].image_NHWC[..., 0], images["train"])


TRAIN = "train-images-idx3-ubyte"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda content: content[:-1],
            "says that it holds 3 x 5 x 4 values, but has 59 bytes of them: it is truncated",
        ),
        (lambda content: content + b"x", "says that it holds 3 x 5 x 4 values, but has 61 bytes"),
        (lambda content: content[:9], "says that it holds no values, but has 0 bytes"),
        (lambda content: content[:4] + b"\xff" * 12 + content[16:], "values, but has 60 bytes"),
        (lambda _: idx_bytes(np.zeros((0, 5, 4), np.uint8)), "says that it holds 0 x 5 x 4 values"),
        (lambda content: b"PNG" + content, "is not in IDX format"),
        (lambda content: content[:2] + b"\x0d" + content[3:], "holds 32-bit floats: images and labels"),
        (lambda content: content[:2] + b"\x05" + content[3:], "holds type 5"),
        (lambda _: idx_bytes(np.zeros(3, np.uint8)), "has 1 axes, where images have 3"),
        (lambda content: gzip.compress(content)[:-9], "cannot be unpacked: Compressed file ended"),
        (lambda _: idx_bytes(np.zeros((2, 5, 4), np.uint8)), "holds 2 images, but"),
        (lambda _: idx_bytes(np.zeros((3, 6, 4), np.uint8)), "have different sizes: t10k 5 x 4, train 6 x 4"),
        (lambda _: None, "there is no file of the images of the same split"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_message(tmp_path: Path, change, words: str):
    write(tmp_path, packed=False, train=[0, 1, 2], t10k=[1, 0])
    content = change((tmp_path / TRAIN).read_bytes())
    (tmp_path / TRAIN).unlink() if content is None else (tmp_path / TRAIN).write_bytes(content)
    with pytest.raises(ExpectedError) as caught:
        read_idx(tmp_path)
    assert words.replace("t10k 5 x 4", "test 5 x 4") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_test_split_or_of_several_data_sets_is_refused(tmp_path: Path):
    write(tmp_path, train=[0, 1])
    with pytest.raises(ExpectedError, match="has no images of the test split: files are called train-images"):
        read_idx(tmp_path)
    write(tmp_path, prefix="emnist-", train=[0, 1])
    with pytest.raises(ExpectedError, match=r"several data sets, called .*emnist-\.\.\.: put the files of one"):
        read_idx(tmp_path)


def test_one_file_alone_names_its_folder(tmp_path: Path):
    write(tmp_path, packed=False, train=[0, 1], t10k=[1, 0])
    with pytest.raises(ExpectedError, match="one of the files of a data set in IDX format: name their folder"):
        read_image_source(tmp_path / TRAIN, 32, None)


def test_a_small_archive_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, train=[0] * 50 + [1], t10k=[1, 0])
    monkeypatch.setattr(idx, "LARGEST", 100)
    with pytest.raises(ExpectedError, match="unpacks to more than 100 bytes"):
        read_idx(tmp_path)


def test_what_macos_puts_beside_files_is_no_data_set(tmp_path: Path):
    write(tmp_path, train=[0, 1], t10k=[1, 0])
    for path in list(tmp_path.iterdir()):
        (tmp_path / f"._{path.name}").write_bytes(b"\0\5\x16\7")
    assert read_image_source(tmp_path, 32, None).classes == ["0", "1"]


def test_the_folder_above_names_the_one_that_holds_the_files(tmp_path: Path):
    """As torchvision lays MNIST out."""
    (tmp_path / "processed").mkdir()
    write(tmp_path / "raw", train=[0, 1], t10k=[1, 0])
    with pytest.raises(ExpectedError, match=r"in IDX format in .*raw: name that folder"):
        read_image_source(tmp_path, 32, None)
