import hashlib
import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images

from pipeline.bayes_moe.data.embedded import photographs, read_embedded
from pipeline.bayes_moe.data.image_source import read_image_source, write_image_source
from pipeline.bayes_moe.data.images import (
    Images,
    ImageSource,
    fitted,
    read_images,
    split_by_class,
    training_and_validation,
    write_images,
)
from pipeline.bayes_moe.data.resident import ResidentImages
from pipeline.bayes_moe.model.predictions import EvaluationImages
from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json


def recipe(folder, **changes):
    path = folder / "recipe.yaml"
    path.write_text(json.dumps({"collection": "digits", "test_share": 0.25, "seed": 0} | changes))
    return path


def test_the_digits_are_split_by_class_and_reproducibly(tmp_path):
    source = read_embedded(recipe(tmp_path))
    train, test = source.splits["train"], source.splits["test"]
    assert len(train.label_N) + len(test.label_N) == 1797
    assert train.image_NHWC.shape[1:] == (8, 8, 1)
    assert train.image_NHWC.max() == 255
    share = np.bincount(test.label_N) / np.bincount(np.r_[train.label_N, test.label_N])
    np.testing.assert_allclose(share, 0.25, atol=0.01)
    again = read_embedded(recipe(tmp_path)).splits["test"]
    np.testing.assert_array_equal(again.image_NHWC, test.image_NHWC)
    other = read_embedded(recipe(tmp_path, seed=1)).splits["test"]
    assert not np.array_equal(other.image_NHWC, test.image_NHWC)
    write_images(tmp_path / "train", train)
    back = read_images(tmp_path / "train")
    np.testing.assert_array_equal(back.image_NHWC, train.image_NHWC)
    np.testing.assert_array_equal(back.label_N, train.label_N)


def test_photographs_are_tiles_of_two_photographs(tmp_path):
    whole, classes = photographs()
    assert classes == ["china", "flower"]
    assert whole.image_NHWC.shape == (520, 32, 32, 3)
    photograph = load_sample_images().images[1]
    np.testing.assert_array_equal(whole.image_NHWC[260 + 20 + 3], photograph[32:64, 96:128])


def test_a_recipe_of_nothing_known(tmp_path):
    with pytest.raises(ExpectedError, match="collection = 'cats'"):
        read_embedded(recipe(tmp_path, collection="cats"))


@given(
    counts=st.lists(st.integers(0, 12), min_size=2, max_size=5).filter(lambda counts: max(counts) > 1),
    share=st.floats(0.01, 0.99),
)
def test_a_split_takes_its_share_of_every_class(counts, share):
    label_N = np.repeat(np.arange(len(counts)), counts)
    whole = Images(np.arange(len(label_N), dtype=np.uint8)[:, None, None, None], label_N)
    rest, taken = split_by_class(whole, share, seed=3)
    both = np.concatenate([rest.image_NHWC, taken.image_NHWC]).ravel()
    assert sorted(both) == list(range(len(label_N)))
    for label, count in enumerate(counts):
        if count >= 2:
            assert abs((taken.label_N == label).sum() - share * count) <= 1
            assert (taken.label_N == label).any()
            assert (rest.label_N == label).any()


def test_images_are_brought_to_another_size_and_colour():
    colours = np.zeros((1, 4, 4, 3), np.uint8)
    colours[0, :2] = (200, 100, 0)
    grey = fitted(colours, (2, 2, 1))
    assert grey.shape == (1, 2, 2, 1)
    assert grey.ravel().tolist() == [118, 118, 0, 0]  # 0.299 R + 0.587 G + 0.114 B
    back = fitted(grey, (2, 2, 3))
    assert (back == grey).all()
    assert fitted(grey, (2, 2, 1)) is grey
    assert fitted(np.full((2, 8, 8, 1), 77, np.uint8), (32, 32, 3)).tolist() == np.full((2, 32, 32, 3), 77).tolist()


def test_the_md5_of_an_archive_is_checked_first(tmp_path):
    path = recipe(tmp_path)
    right = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    assert len(read_image_source(path, 8, right).classes) == 10
    with pytest.raises(ExpectedError, match=f"has the MD5 {right}, expected 0000"):
        read_image_source(path, 8, "0" * 32)
    with pytest.raises(ExpectedError, match="is a folder, which has no MD5: set md5 to null"):
        read_image_source(tmp_path, 8, right)
    with pytest.raises(ExpectedError, match="is not there"):
        read_image_source(tmp_path / "none.tar.gz", 8, right)


def folder(path, splits):
    for number, split in enumerate(splits):
        for name in ("a", "b"):
            (path / split / name).mkdir(parents=True)
            Image.new("RGB", (8, 8), (number, 0, 0)).save(path / split / name / "1.png")
    return path


def test_a_validation_set_of_the_source_s_own_is_what_is_chosen_by(tmp_path):
    source = read_image_source(folder(tmp_path / "own", ["train", "Val", "test"]), 8, None)
    told = write_image_source(tmp_path / "images", tmp_path / "own", source)
    assert told.splitlines() == [
        "own: 2 training, 2 validation and 2 test images of 8 x 8 pixels in colour, 2 classes "
        "(1 to 1 training images each)",
        "note: validation is 'Val', in place of a share of 'train'",
    ]
    assert read_json(tmp_path / "images/source.json")["notes"] == [
        "validation is 'Val', in place of a share of 'train'"
    ]
    train, validation = training_and_validation(tmp_path / "images", 0.5, 0)
    assert train.image_NHWC[:, 0, 0, 0].tolist() == [0, 0]
    assert validation.image_NHWC[:, 0, 0, 0].tolist() == [1, 1]


def test_without_one_a_share_of_the_training_images_is(tmp_path):
    whole = Images(np.arange(20, dtype=np.uint8)[:, None, None, None], np.repeat([0, 1], 10))
    write_images(tmp_path / "train", whole)
    train, validation = training_and_validation(tmp_path, 0.2, 3)
    expected = split_by_class(whole, 0.2, 3)
    np.testing.assert_array_equal(train.image_NHWC, expected[0].image_NHWC)
    np.testing.assert_array_equal(validation.image_NHWC, expected[1].image_NHWC)
    assert len(validation.label_N) == 4


def test_the_white_of_a_folder_is_named_by_its_section(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.fromarray(np.full((4, 4), 4095, np.uint16)).save(tmp_path / name / f"{number}.png")
    with pytest.raises(
        ExpectedError, match=r"Set bayes_moe\.ingest_ood\.white_level to the value of white, such as 4095"
    ):
        read_image_source(tmp_path, 4, None, None, "bayes_moe.ingest_ood")
    assert (read_image_source(tmp_path, 4, None, 4095).splits["train"].image_NHWC == 65535).all()


@pytest.mark.parametrize("name", ["two\nlines", "x" * 300])
def test_a_class_with_a_name_that_wrecks_tables(tmp_path, monkeypatch, name):
    one = Images(np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1]))
    source = ImageSource({"train": one, "test": one}, ["a", name])
    monkeypatch.setattr("pipeline.bayes_moe.data.image_source.read_image_folder", lambda *_: source)
    with pytest.raises(ExpectedError, match=r"has a class .*: a name has 255 characters at most, on one line"):
        read_image_source(tmp_path, 4, None)


def test_a_path_to_a_pipe_or_a_loop_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ExpectedError, match="is a named pipe"):
        read_image_source(tmp_path / "pipe.yaml", 8, None)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ExpectedError, match="is a loop of symbolic links"):
        read_image_source(tmp_path / "loop", 8, None)


def test_a_recipe_s_suffix_in_any_case(tmp_path):
    assert len(read_image_source(recipe(tmp_path).rename(tmp_path / "R.YAML"), 8, None).classes) == 10


@pytest.mark.parametrize(
    ("kind", "channels", "described"),
    [("L", 1, "in grey,"), ("LA", 1, "in grey,"), ("I;16", 1, "in grey of 16 bits,"), ("RGB", 3, "in colour,")],
)
def test_grey_images_stay_grey_and_one_in_colour_makes_all_of_them_so(tmp_path, kind, channels, described):
    value = {"L": 9, "LA": (9, 255), "I;16": 9 * 257, "RGB": (9, 9, 10)}[kind]
    for place, name in enumerate("ab"):
        (tmp_path / "x" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (4, 4), 200 + place).save(tmp_path / "x" / name / f"{number}.png")
    Image.new(kind, (4, 4), value).save(tmp_path / "x" / "a" / "0.png")
    source = read_image_source(tmp_path / "x", 4, None, 65535)
    images = [images.image_NHWC for images in source.splits.values()]
    assert {image_NHWC.shape[3] for image_NHWC in images} == {channels}
    times = 257 if kind == "I;16" else 1
    assert {int(value) / times for image_NHWC in images for value in np.unique(image_NHWC[..., 0])} == {9, 200, 201}
    assert described in write_image_source(tmp_path / "images", tmp_path / "x", source)


def deep_folder(path, colour):
    """Two classes of two grey images of 16 bits, of which the values differ in the lower 8 only."""
    for place, name in enumerate("ab"):
        (path / name).mkdir(parents=True)
        for number in range(2):
            grey = np.full((4, 4), 40_000 + 10 * place + number, np.uint16)
            Image.fromarray(grey).save(path / name / f"{number}.png")
    if colour:
        Image.new("RGB", (4, 4), (9, 9, 10)).save(path / "a" / "2.png")
    return path


def test_images_of_16_bits_are_trained_on_as_they_are(tmp_path):
    source = read_image_source(deep_folder(tmp_path / "x", colour=False), 4, None)
    write_image_source(tmp_path / "images", tmp_path / "x", source)
    whole = [read_images(tmp_path / "images" / split) for split in ("train", "test")]
    assert {image_NHWC.dtype for image_NHWC, _ in whole} == {np.dtype(np.uint16)}
    assert {int(value) for images in whole for value in np.unique(images.image_NHWC)} == {
        40_000,
        40_001,
        40_010,
        40_011,
    }
    batch = next(ResidentImages(whole[0], 2, torch.device("cpu")).epoch(0))
    expected = whole[0].image_NHWC.transpose(0, 3, 1, 2).astype(np.float32) / 65535
    np.testing.assert_allclose(batch.x_BCHW, expected, rtol=1e-6)
    other = fitted(whole[0].image_NHWC, (2, 2, 3))
    assert (other.dtype, other.shape) == (np.uint16, (2, 2, 2, 3))
    assert (other == whole[0].image_NHWC[:, :2, :2]).all()
    evaluated = EvaluationImages(*whole, whole[1], corrupted=1, seed=0, batch_size=2, device=torch.device("cpu"))
    blurred = [part.image_NHWC for part in evaluated.corrupted()]
    assert {part.dtype for part in blurred} == {np.dtype(np.uint16)}
    assert max(int(part.max()) for part in blurred) > 255


def test_beside_colours_16_bits_of_grey_become_8(tmp_path):
    source = read_image_source(deep_folder(tmp_path / "x", colour=True), 4, None)
    values = {int(value) for images in source.splits.values() for value in np.unique(images.image_NHWC)}
    assert values == {9, 10, round(40_000 / 257)}
    assert {images.image_NHWC.dtype for images in source.splits.values()} == {np.dtype(np.uint8)}
