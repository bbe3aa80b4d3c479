"""CIFAR in its Python format: pickles are read, and nothing that they name is called."""

import io
import os
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.bayes_moe.data.cifar import VALUES, read_cifar
from pipeline.bayes_moe.data.plain_pickle import UnknownPickleError, read_plain_pickle
from pipeline.core.errors import ExpectedError


def python_2(value: Any) -> bytes:
    """A pickle as Python 2 and its numpy wrote those of CIFAR: protocol 2, texts as byte strings, no memo read."""

    def text(of: bytes) -> bytes:
        return b"U" + bytes([len(of)]) + of if len(of) < 256 else b"T" + struct.pack("<i", len(of)) + of

    def of(one: Any) -> bytes:
        if isinstance(one, dict):
            return b"}q\x01(" + b"".join(of(key) + of(item) for key, item in one.items()) + b"u"
        if isinstance(one, list):
            return b"]q\x02(" + b"".join(map(of, one)) + b"e"
        if isinstance(one, np.ndarray):
            start = b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87R"
            kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            shape = b"M" + struct.pack("<H", one.shape[0]) + b"M" + struct.pack("<H", one.shape[1]) + b"\x86"
            return start + b"(K\x01" + shape + kind + b"\x89" + text(one.tobytes()) + b"tb"
        return b"K" + bytes([one]) if isinstance(one, int) else text(one.encode() if isinstance(one, str) else one)

    return b"\x80\x02" + of(value) + b"."


def python_3(value: Any) -> bytes:
    return pickle.dumps(value, protocol=4)


def python_3_for_2(value: Any) -> bytes:
    """Python 3 in a protocol of Python 2, which has no bytes: texts that are to be encoded."""
    return pickle.dumps(value, protocol=2)


def values(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, VALUES)).astype(np.uint8)


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def cifar_10(write=python_2, **changes: Any) -> dict[str, bytes]:
    batches: dict[str, Any] = {
        "batches.meta": {"num_cases_per_batch": 2, "label_names": ["plane", "car"], "num_vis": 3072},
        "data_batch_1": {"batch_label": "1 of 2", "labels": [0, 1], "data": values(2, 1), "filenames": ["a", "b"]},
        "data_batch_2": {"batch_label": "2 of 2", "labels": [1], "data": values(1, 2), "filenames": ["c"]},
        "test_batch": {"batch_label": "1 of 1", "labels": [1, 0], "data": values(2, 3), "filenames": ["d", "e"]},
    }
    if write is python_2:
        batches["batches.meta"] |= {"num_cases_per_batch": 2, "num_vis": 12}
    return {name: write(batches[name] | changes.get(name, {})) for name in batches} | {"readme.html": b"<html>"}


@pytest.mark.parametrize("write", [python_2, python_3, python_3_for_2])
def test_cifar_10_is_read_as_pickle_would_and_as_the_binary_format_is(tmp_path: Path, write):
    files = cifar_10(write)
    source = read_cifar(archive(tmp_path / "c.tar.gz", files))
    assert source.classes == ["plane", "car"]
    assert source.splits["train"].label_N.tolist() == [0, 1, 1]
    assert source.splits["test"].label_N.tolist() == [1, 0]
    whole = [pickle.loads(files[name], encoding="latin-1")["data"] for name in ("data_batch_1", "data_batch_2")]
    expected = np.concatenate(whole).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(source.splits["train"].image_NHWC, expected)
    records = {"batches.meta.txt": b"plane\ncar\n"}
    for name, seed, labels in (("data_batch_1", 1, [0, 1]), ("data_batch_2", 2, [1]), ("test_batch", 3, [1, 0])):
        labelled = np.concatenate([np.array(labels, np.uint8)[:, None], values(len(labels), seed)], axis=1)
        records[f"{name}.bin"] = labelled.tobytes()
    binary = read_cifar(archive(tmp_path / "b.tar.gz", records))
    for split, images in binary.splits.items():
        np.testing.assert_array_equal(images.image_NHWC, source.splits[split].image_NHWC)
        np.testing.assert_array_equal(images.label_N, source.splits[split].label_N)


@pytest.mark.parametrize("write", [python_2, python_3])
def test_the_class_of_cifar_100_is_the_fine_label(tmp_path: Path, write):
    files = {
        "meta": {"fine_label_names": ["apple", "bear", "rose"], "coarse_label_names": ["life"]},
        "train": {"fine_labels": [2, 0, 1], "coarse_labels": [0, 0, 0], "data": values(3, 1), "filenames": []},
        "test": {"fine_labels": [1], "coarse_labels": [0], "data": values(1, 2), "filenames": []},
    }
    pickles = {name: write(content) for name, content in files.items()}
    source = read_cifar(archive(tmp_path / "c.tar.gz", pickles | {"file.txt~": b""}))
    assert source.classes == ["apple", "bear", "rose"]
    assert source.splits["train"].label_N.tolist() == [2, 0, 1]
    assert source.splits["test"].image_NHWC.shape == (1, 32, 32, 3)


class Evil:
    """Would leave a file behind if anything called what its pickle names."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_that_a_file_names_is_called(tmp_path: Path, protocol: int):
    mark = tmp_path / "called"
    content = pickle.dumps({"data": Evil(mark)}, protocol)
    with pytest.raises(ExpectedError, match=r"data_batch_1 in .* is not read: it (names|holds)") as caught:
        read_cifar(archive(tmp_path / "c.tar.gz", cifar_10() | {"data_batch_1": content}))
    assert not mark.exists()
    assert "\n" not in str(caught.value)
    pickle.loads(content)  # the control: the pickle does what it is meant to
    assert mark.exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([1.0, 2.0]), "array of type 'f8', not of unsigned bytes"),
        (np.array([{}, None], dtype=object), "array of type 'O8'"),
        (np.asfortranarray(np.zeros((2, 3), np.uint8)), "another form than rows of unsigned bytes"),
        ({1, 2}, "which plain data have no use for"),
        (Path("x"), "which is no part of plain data"),
    ],
)
def test_other_values_than_those_of_the_format_are_refused(value: Any, words: str):
    with pytest.raises(UnknownPickleError, match=words):
        read_plain_pickle(python_3({"data": value}))


@pytest.mark.parametrize("write", [python_2, python_3])
def test_a_file_that_is_cut_or_changed_at_any_byte_is_one_message_or_data(write):
    whole = write({"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [1, 2, 3], "names": ["a", "b"]})
    np.testing.assert_array_equal(next(iter(read_plain_pickle(whole).values())), np.arange(12).reshape(3, 4))
    for place in range(len(whole)):
        with pytest.raises(UnknownPickleError):
            read_plain_pickle(whole[:place])
        for byte in (0, 40, 99, 255):
            try:
                read_plain_pickle(whole[:place] + bytes([byte]) + whole[place + 1 :])
            except UnknownPickleError:
                continue


def test_a_list_that_holds_itself_is_no_end():
    assert isinstance(read_plain_pickle(b"\x80\x02]q\x00h\x00a."), list)
    assert isinstance(read_plain_pickle(b"\x80\x02}q\x00K\x01h\x00s."), dict)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_batch_2": {"labels": [2]}}, "image 2 of the train split of .* has label 2, but batches.meta names 2"),
        ({"data_batch_2": {"labels": [1, 1]}}, "images of shape .1, 3072. and 2 labels"),
        ({"data_batch_2": {"labels": "1"}}, "has no 'labels' of the form that CIFAR has"),
        ({"data_batch_2": {"labels": ["1"]}}, "and 1 labels, not 3,072 values and a whole number"),
        ({"data_batch_2": {"data": values(1, 0)[:, :99]}}, "images of shape .1, 99."),
        ({"batches.meta": {"label_names": 2}}, "has no 'label_names' of the form"),
    ],
)
def test_what_is_wrong_with_a_batch_is_one_message(tmp_path: Path, changes: dict[str, Any], words: str):
    with pytest.raises(ExpectedError, match=words):
        read_cifar(archive(tmp_path / "c.tar.gz", cifar_10(**changes)))


def test_a_missing_split_is_named(tmp_path: Path):
    files = cifar_10()
    del files["test_batch"]
    with pytest.raises(ExpectedError, match="has no file of the test split"):
        read_cifar(archive(tmp_path / "c.tar.gz", files))
