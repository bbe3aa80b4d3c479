import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images

from pipeline.data.embedded.images import photographs, read_embedded
from pipeline.data.picture_folder import read_picture_folder
from pipeline.data.picture_source import read_picture_source
from pipeline.data.pictures import Pictures, fitted, read_pictures, split_by_class, write_pictures
from pipeline.errors import ExpectedError


def recipe(folder, **changes):
    path = folder / "recipe.yaml"
    path.write_text(json.dumps({"collection": "digits", "test_share": 0.25, "seed": 0} | changes))
    return path


def test_the_digits_are_split_by_class_and_reproducibly(tmp_path):
    source = read_embedded(recipe(tmp_path))
    train, test = source.splits["train"], source.splits["test"]
    assert len(train.label_N) + len(test.label_N) == 1797
    assert train.picture_NHWC.shape[1:] == (8, 8, 1)
    assert train.picture_NHWC.max() == 255
    share = np.bincount(test.label_N) / np.bincount(np.r_[train.label_N, test.label_N])
    np.testing.assert_allclose(share, 0.25, atol=0.01)
    again = read_embedded(recipe(tmp_path)).splits["test"]
    np.testing.assert_array_equal(again.picture_NHWC, test.picture_NHWC)
    other = read_embedded(recipe(tmp_path, seed=1)).splits["test"]
    assert not np.array_equal(other.picture_NHWC, test.picture_NHWC)
    write_pictures(tmp_path / "train", train)
    back = read_pictures(tmp_path / "train")
    np.testing.assert_array_equal(back.picture_NHWC, train.picture_NHWC)
    np.testing.assert_array_equal(back.label_N, train.label_N)


def test_photographs_are_tiles_of_two_photographs(tmp_path):
    whole, classes = photographs()
    assert classes == ["china", "flower"]
    assert whole.picture_NHWC.shape == (520, 32, 32, 3)
    photograph = load_sample_images().images[1]
    np.testing.assert_array_equal(whole.picture_NHWC[260 + 20 + 3], photograph[32:64, 96:128])


def test_a_recipe_of_nothing_known(tmp_path):
    with pytest.raises(ExpectedError, match="collection = 'cats'"):
        read_embedded(recipe(tmp_path, collection="cats"))


@given(
    counts=st.lists(st.integers(0, 12), min_size=2, max_size=5).filter(lambda counts: max(counts) > 1),
    share=st.floats(0.01, 0.99),
)
def test_a_split_takes_its_share_of_every_class(counts, share):
    label_N = np.repeat(np.arange(len(counts)), counts)
    whole = Pictures(np.arange(len(label_N), dtype=np.uint8)[:, None, None, None], label_N)
    rest, taken = split_by_class(whole, share, seed=3)
    both = np.concatenate([rest.picture_NHWC, taken.picture_NHWC]).ravel()
    assert sorted(both) == list(range(len(label_N)))
    for label, count in enumerate(counts):
        if count >= 2:
            assert abs((taken.label_N == label).sum() - share * count) <= 1
            assert (taken.label_N == label).any()
            assert (rest.label_N == label).any()


def test_pictures_are_brought_to_another_size_and_colour():
    colours = np.zeros((1, 4, 4, 3), np.uint8)
    colours[0, :2] = (200, 100, 0)
    grey = fitted(colours, (2, 2, 1))
    assert grey.shape == (1, 2, 2, 1)
    assert grey.ravel().tolist() == [118, 118, 0, 0]  # 0.299 R + 0.587 G + 0.114 B
    back = fitted(grey, (2, 2, 3))
    assert (back == grey).all()
    assert fitted(grey, (2, 2, 1)) is grey
    assert fitted(np.full((2, 8, 8, 1), 77, np.uint8), (32, 32, 3)).tolist() == np.full((2, 32, 32, 3), 77).tolist()


def test_one_class_has_nothing_to_tell_apart(tmp_path):
    for split in ("train", "test"):
        picture(tmp_path / split / "a" / "0.png", (1, 1, 1))
    with pytest.raises(ExpectedError, match="two at least; it has one, 'a'"):
        read_picture_source(tmp_path, 8, None)


def test_the_md5_of_an_archive_is_checked_first(tmp_path):
    path = recipe(tmp_path)
    right = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    assert len(read_picture_source(path, 8, right).classes) == 10
    with pytest.raises(ExpectedError, match=f"has the MD5 {right}, expected 0000"):
        read_picture_source(path, 8, "0" * 32)
    with pytest.raises(ExpectedError, match="is a folder, which has no MD5: set md5 to null"):
        read_picture_source(tmp_path, 8, right)
    with pytest.raises(ExpectedError, match="is not there"):
        read_picture_source(tmp_path / "none.tar.gz", 8, right)


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
