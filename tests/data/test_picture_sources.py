import numpy as np
import pytest
from PIL import Image

from pipeline.data.embedded.images import digits
from pipeline.data.picture_folder import read_picture_folder
from pipeline.data.pictures import read_pictures, write_pictures
from pipeline.errors import ExpectedError


def test_the_digits_are_split_by_class_and_reproducibly(tmp_path):
    source = digits()
    train, test = source.splits["train"], source.splits["test"]
    assert len(train.label_N) + len(test.label_N) == 1797
    assert train.picture_NHWC.shape[1:] == (8, 8, 1)
    assert train.picture_NHWC.max() == 255
    share = np.bincount(test.label_N) / np.bincount(np.r_[train.label_N, test.label_N])
    np.testing.assert_allclose(share, 0.25, atol=0.01)
    np.testing.assert_array_equal(digits().splits["test"].picture_NHWC, test.picture_NHWC)
    assert not np.array_equal(digits(1).splits["test"].label_N, test.label_N)
    write_pictures(tmp_path / "train", train)
    back = read_pictures(tmp_path / "train")
    np.testing.assert_array_equal(back.picture_NHWC, train.picture_NHWC)
    np.testing.assert_array_equal(back.label_N, train.label_N)


def picture(path, colour, size=(20, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_a_folder_of_splits_and_classes(tmp_path):
    for split, count in (("train", 3), ("test", 1)):
        for number in range(count):
            picture(tmp_path / split / "red" / f"{number}.png", (250, 0, 0))
            picture(tmp_path / split / "blue" / f"{number}.png", (0, 0, 250), (8, 30))
    source = read_picture_folder(tmp_path, 16)
    assert source.classes == ["blue", "red"]
    assert source.splits["train"].label_N.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.splits["test"].picture_NHWC.shape == (2, 16, 16, 3)
    assert source.splits["test"].picture_NHWC[1, 3, 3].tolist() == [250, 0, 0]


def test_a_folder_of_classes_gives_a_share_of_each_to_the_test_set(tmp_path):
    for number in range(10):
        picture(tmp_path / "a" / f"{number}.png", (number, 0, 0))
        picture(tmp_path / "b" / "deeper" / f"{number}.jpg", (0, number, 0))
    splits = read_picture_folder(tmp_path, 8).splits
    assert splits["test"].label_N.tolist() == [0, 0, 1, 1]
    assert len(splits["train"].label_N) == 16


def test_the_middle_of_a_picture_is_taken(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    for name in ("a", "b"):
        for number in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(wide).save(tmp_path / name / f"{number}.png")
    assert (read_picture_folder(tmp_path, 5).splits["train"].picture_NHWC == 200).all()


def broken(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "there is no folder"),
        (lambda f: picture(f / "only" / "1.png", 0), "two at least; it has one, 'only'"),
        (lambda f: (picture(f / "a" / "1.png", 0), (f / "b").mkdir()), "b has no picture"),
        (lambda f: (picture(f / "a" / "1.png", 0), picture(f / "b" / "1.png", 0)), "class 'a' has one picture"),
        (lambda f: (picture(f / "a" / "1.png", 0), broken(f / "b" / "1.png")), "is no readable picture"),
        (
            lambda f: [picture(f / s / c / "1.png", 0) for s, c in (("train", "ab"), ("test", "ac")) for c in c],
            "different classes; in one only: b, c",
        ),
    ],
)
def test_what_is_wrong_is_one_clear_message(tmp_path, make, message):
    folder = tmp_path / "pictures"
    make(folder)
    with pytest.raises(ExpectedError, match=message):
        read_picture_folder(folder, 8)
