import gzip
import io
import os
import tarfile

import numpy as np
import pytest

from pipeline.bayes_moe.data import cifar
from pipeline.bayes_moe.data.cifar import read_cifar
from pipeline.core.errors import ExpectedError

RECORD = 3072


def records(labels, seed=0, coarse=None):
    random = np.random.default_rng(seed)
    columns = [np.asarray(column, np.uint8)[:, None] for column in ([coarse] if coarse else []) + [labels]]
    return np.concatenate([*columns, random.integers(0, 256, (len(labels), RECORD), np.uint8)], axis=1)


def archive(path, files, links=()):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)
    return path


def cifar10(tmp_path, **changes):
    files = {
        "c/batches.meta.txt": b"plane\ncar\nbird\n\n",
        "c/data_batch_1.bin": records([0, 1]).tobytes(),
        "c/data_batch_2.bin": records([2], 1).tobytes(),
        "c/test_batch.bin": records([1, 0, 2], 2).tobytes(),
    } | {name.replace("__", "/").replace("_bin", ".bin"): content for name, content in changes.items()}
    return archive(tmp_path / "cifar.tar.gz", {name: content for name, content in files.items() if content is not None})


def test_reads_both_splits_channel_major(tmp_path):
    source = read_cifar(cifar10(tmp_path))
    assert source.classes == ["plane", "car", "bird"]
    train, test = source.splits["train"], source.splits["test"]
    assert train.label_N.tolist() == [0, 1, 2]
    assert test.label_N.tolist() == [1, 0, 2]
    assert train.image_NHWC.shape == (3, 32, 32, 3)
    first = records([0, 1])[0, 1:].reshape(3, 32, 32)
    for channel in range(3):
        np.testing.assert_array_equal(train.image_NHWC[0, :, :, channel], first[channel])


def test_the_class_of_cifar_100_is_the_fine_label(tmp_path):
    path = archive(
        tmp_path / "c.tar.gz",
        {
            "c/fine_label_names.txt": b"a\nb\nc\n",
            "c/coarse_label_names.txt": b"x\n",
            "c/train.bin": records([2, 0], coarse=[9, 9]).tobytes(),
            "c/test.bin": records([1], coarse=[9]).tobytes(),
        },
    )
    source = read_cifar(path)
    assert source.splits["train"].label_N.tolist() == [2, 0]
    assert source.classes == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"c__test_batch_bin": records([1]).tobytes()[:-1]},
            r"test_batch.bin .* 3,072 bytes, not .* the 3,073 of",
        ),
        ({"c__test_batch_bin": b""}, r"0 bytes"),
        ({"c__test_batch_bin": None}, r"has no file of the test split"),
        ({"c__data_batch_2_bin": records([7]).tobytes()}, r"image 2 of the train split .* label 7.* names 3 classes"),
        ({"c/batches.meta.txt": None}, r"no batches.meta.txt or fine_label_names.txt"),
        ({"../../etc/evil.bin": b"x"}, r"leaves its folder"),
        ({"/etc/evil.bin": b"x"}, r"leaves its folder"),
    ],
)
def test_what_is_wrong_is_one_clear_message(tmp_path, changes, message):
    with pytest.raises(ExpectedError, match=message):
        read_cifar(cifar10(tmp_path, **changes))


def test_links_are_not_followed(tmp_path):
    path = archive(tmp_path / "c.tar.gz", {}, links=["c/batches.meta.txt"])
    with pytest.raises(ExpectedError, match="link"):
        read_cifar(path)


def test_an_archive_of_more_than_cifar_has_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "LARGEST", 100_000)
    path = tmp_path / "c.tar.gz"
    for files in (
        {f"c/data_batch_{number}.bin": bytes(60_000) for number in range(3)},  # each of them fits
        {f"c/{number}.jpg": bytes(60_000) for number in range(3)},  # not even looked at
    ):
        with pytest.raises(ExpectedError, match="unpacks to more than 100,000 bytes, far more than CIFAR has"):
            read_cifar(archive(path, files))
    with gzip.open(path, "wb") as stream:  # an extended header that claims 6 GB
        claim = tarfile.TarInfo("c/a.bin")
        claim.type, claim.size = tarfile.XHDTYPE, 6 << 30
        stream.write(claim.tobuf() + bytes(200_000))
    with pytest.raises(ExpectedError, match="unpacks to more than 100,000 bytes, far more than CIFAR has"):
        read_cifar(path)


def test_an_archive_of_very_many_files_or_headers_is_refused(tmp_path):
    path = archive(tmp_path / "c.tar.gz", {f"c/{number}.bin": b"" for number in range(1001)})
    with pytest.raises(ExpectedError, match="holds more than 1,000 files, far more than CIFAR has"):
        read_cifar(path)
    with gzip.open(path, "wb") as stream:  # long names that each announce another
        name = tarfile.TarInfo("././@LongLink")
        name.type, name.size = tarfile.GNUTYPE_LONGNAME, 4
        stream.write((name.tobuf() + b"abc\0".ljust(512, b"\0")) * 5000)
    with pytest.raises(ExpectedError, match="cannot be read as a tar archive: maximum recursion depth exceeded"):
        read_cifar(path)


def test_an_archive_that_is_not_compressed_and_others(tmp_path):
    path = cifar10(tmp_path)
    plain = tmp_path / "c.tar"
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    assert read_cifar(plain).splits["train"].label_N.tolist() == [0, 1, 2]
    plain.write_bytes(b"PK\x03\x04" + bytes(600))
    with pytest.raises(
        ExpectedError, match=r"cannot be read as a tar archive: .*; unpack it \(unzip .*c\.tar\) and name"
    ):
        read_cifar(plain)
    os.mkfifo(tmp_path / "p.tar.gz")
    with pytest.raises(ExpectedError, match="is a named pipe"):
        read_cifar(tmp_path / "p.tar.gz")


def test_files_that_are_no_archives(tmp_path):
    text = tmp_path / "a.tar.gz"
    text.write_text("no archive")
    with pytest.raises(ExpectedError, match="cannot be read as a tar archive"):
        read_cifar(text)
    whole = cifar10(tmp_path).read_bytes()
    text.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ExpectedError, match="cannot be read as a tar archive"):
        read_cifar(text)
    with pytest.raises(ExpectedError, match="not found: check the path"):
        read_cifar(tmp_path / "none.tar.gz")
