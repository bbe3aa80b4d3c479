import os

import numpy as np
import pytest
from PIL import Image

from pipeline.bayes_moe.data.image_folder import read_image_folder
from pipeline.core.errors import ExpectedError


def image(path, colour, size=(20, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_a_folder_of_splits_and_classes(tmp_path):
    for split, count in (("train", 3), ("test", 1)):
        for number in range(count):
            image(tmp_path / split / "red" / f"{number}.png", (250, 0, 0))
            image(tmp_path / split / "blue" / f"{number}.png", (0, 0, 250), (8, 30))
    source = read_image_folder(tmp_path, 16)
    assert source.classes == ["blue", "red"]
    assert source.splits["train"].label_N.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.splits["test"].image_NHWC.shape == (2, 16, 16, 3)
    assert source.splits["test"].image_NHWC[1, 3, 3].tolist() == [250, 0, 0]


def test_a_folder_of_classes_gives_a_share_of_each_to_the_test_set(tmp_path):
    for number in range(10):
        image(tmp_path / "a" / f"{number}.png", (number, 0, 0))
        image(tmp_path / "b" / "deeper" / f"{number}.jpg", (0, number, 0))
    splits = read_image_folder(tmp_path, 8).splits
    assert splits["test"].label_N.tolist() == [0, 0, 1, 1]
    assert len(splits["train"].label_N) == 16


def test_the_middle_of_a_image_is_taken(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    for name in ("a", "b"):
        for number in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(wide).save(tmp_path / name / f"{number}.png")
    assert (read_image_folder(tmp_path, 5).splits["train"].image_NHWC == 200).all()


def broken(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no image")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "there is no folder"),
        (lambda f: image(f / "only" / "1.png", 0), "two at least; it has one, 'only'"),
        (lambda f: [image(f / s / "a" / "1.png", 0) for s in ("train", "test")], "two at least; it has one, 'a'"),
        (lambda f: (image(f / "a" / "1.png", 0), (f / "b").mkdir()), "b has no image"),
        (lambda f: (image(f / "a" / "1.png", 0), image(f / "b" / "1.png", 0)), "class 'a' has one image"),
        (lambda f: (image(f / "a" / "1.png", 0), broken(f / "b" / "1.png")), "is no readable image"),
        (
            lambda f: [image(f / s / c / "1.png", 0) for s, c in (("train", "ab"), ("test", "ac")) for c in c],
            "different classes; in one only: b, c",
        ),
    ],
)
def test_what_is_wrong_is_one_clear_message(tmp_path, make, message):
    folder = tmp_path / "images"
    make(folder)
    with pytest.raises(ExpectedError, match=message):
        read_image_folder(folder, 8)


SPLIT_FOLDERS = [
    (["train", "test"], {"train": "train", "test": "test"}, None),
    (["Train", "TEST"], {"train": "Train", "test": "TEST"}, None),
    (["training", "testing"], {"train": "training", "test": "testing"}, None),
    *(
        (["train", name, "test"], {"train": "train", "validation": name, "test": "test"}, f"validation is {name!r}")
        for name in ("val", "valid", "validation", "Val", "dev")
    ),
    (["train", "val"], {"train": "train", "test": "val"}, "without a test split, 'val' is the test set"),
    (["Train", "Validation"], {"train": "Train", "test": "Validation"}, "'Validation' is the test set"),
]


@pytest.mark.parametrize(("names", "expected", "note"), SPLIT_FOLDERS, ids=lambda part: str(part)[:40])
def test_splits_are_known_by_their_usual_names_in_any_case(tmp_path, names, expected, note):
    for number, name in enumerate(names):
        for colour, kind in enumerate(("cat", "dog")):
            image(tmp_path / name / kind / "1.png", (number, colour, 0))
    source = read_image_folder(tmp_path, 8)
    assert source.classes == ["cat", "dog"]
    found = {split: names[part.image_NHWC[0, 0, 0, 0]] for split, part in source.splits.items()}
    assert found == expected
    for part in source.splits.values():
        assert part.image_NHWC[:, 0, 0, 1].tolist() == part.label_N.tolist() == [0, 1]
    assert (note is None and source.notes == ()) or (len(source.notes) == 1 and note in source.notes[0])


def test_a_training_split_alone_gives_a_share_to_the_test_set(tmp_path):
    for number in range(10):
        for kind in ("a", "b"):
            image(tmp_path / "train" / kind / f"{number}.png", (number, 0, 0))
    source = read_image_folder(tmp_path, 8)
    assert [len(part.label_N) for part in source.splits.values()] == [16, 4]
    assert source.notes == ("without a test split, 20% of every class of 'train' are the test set",)


@pytest.mark.parametrize(
    "names",
    [
        ["train/a", "train/b", "val/a", "val/b", "valid/a", "valid/b"],
        ["train/a", "train/b", "Train/a", "Train/b", "test/a", "test/b"],
        ["train/a", "train/b", "test/a", "test/b", "test_2/a"],
        ["train/a", "train/b", "cats"],
        ["test/a", "test/b", "val/a", "val/b"],
        ["test", "cats", "dogs"],
        ["training_set/a", "training_set/b", "test_set/a", "test_set/b"],
        ["train2017", "val2017"],
        ["trainset", "testset"],
        ["cats", "train-1", "test-1"],
        ["trainA/a", "trainA/b", "testA/a", "testA/b"],
        ["fold1/a", "fold1/b", "fold2/a", "fold2/b"],
    ],
    ids=" ".join,
)
def test_what_looks_like_splits_and_is_not_clear_is_refused(tmp_path, names):
    for name in names:
        for number in range(2):
            image(tmp_path / name / f"{number}.png", 0)
    with pytest.raises(ExpectedError, match=r"not clear which are splits .*\(train: train, training; validation: "):
        read_image_folder(tmp_path, 8)


def test_splits_below_classes_are_refused(tmp_path):
    for kind in ("cat", "dog"):
        for split in ("train", "test"):
            image(tmp_path / kind / split / "1.png", 0)
    with pytest.raises(ExpectedError, match="splits lie above classes: rename cat/test to test/cat, and so on"):
        read_image_folder(tmp_path, 8)


@pytest.mark.parametrize("names", [["bus", "train", "tram"], ["test strip", "blank"], ["validator", "trainer"]])
def test_classes_that_are_no_splits(tmp_path, names):
    for name in names:
        for number in range(2):
            image(tmp_path / name / f"{number}.png", 0)
    source = read_image_folder(tmp_path, 8)
    assert source.classes == sorted(names)
    assert source.notes == (("'train' is a class, like the folders beside it",) if "train" in names else ())


def test_a_folder_beside_the_splits_is_noted(tmp_path):
    for split in ("train", "test", "unlabelled"):
        for kind in ("a", "b"):
            image(tmp_path / split / kind / "1.png", 0)
    assert read_image_folder(tmp_path, 8).notes == ("skipped 1 folder beside the splits: unlabelled",)


def test_hidden_entries_and_dangling_links_are_passed_over_everywhere_and_counted(tmp_path):
    for split in ("train", "test"):
        for kind in ("a", "b"):
            image(tmp_path / split / kind / "1.png", 0)
    clean = read_image_folder(tmp_path, 8)
    inside = tmp_path / "train" / "a"
    image(inside / ".ipynb_checkpoints" / "1-checkpoint.png", 0)
    broken(inside / "._1.png")
    broken(tmp_path / "__MACOSX" / "train" / "a" / "._1.png")
    broken(tmp_path / ".DS_Store")
    broken(tmp_path / "test" / "b" / "Thumbs.db")
    (inside / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (inside / "self.png").symlink_to("self.png")
    (tmp_path / "test" / "lost").symlink_to(tmp_path / "nowhere")
    found = read_image_folder(tmp_path, 8)
    assert found.classes == clean.classes == ["a", "b"]
    assert {split: part.label_N.tolist() for split, part in found.splits.items()} == {"train": [0, 1], "test": [0, 1]}
    assert found.notes == (
        "skipped 5 hidden or system items: .DS_Store, ._1.png, .ipynb_checkpoints and 2 more",
        "skipped 3 dangling links: gone.png, lost, self.png",
    )


def test_suffixes_count_in_any_case_and_what_is_of_another_kind_is_noted(tmp_path):
    for kind in ("a", "b"):
        image(tmp_path / kind / "1.png", 0)
        Image.new("RGB", (8, 8)).save(tmp_path / kind / "2.jfif", "JPEG")
        Image.new("RGB", (8, 8)).save(tmp_path / kind / "3.JPG")
        Image.new("RGB", (8, 8)).save(tmp_path / kind / "4.Tiff")
    (tmp_path / "a" / "labels.csv").write_text("x")
    (tmp_path / "b" / "5.heic").write_text("x")
    (tmp_path / "README").write_text("x")
    image(tmp_path / "lone.png", 0)
    source = read_image_folder(tmp_path, 8)
    assert sum(len(part.label_N) for part in source.splits.values()) == 8
    assert source.notes == (
        "skipped 3 files of another kind: 5.heic, README, labels.csv",
        "skipped 1 image outside the folders of classes: lone.png",
    )


def test_a_class_of_nothing_but_other_files_says_so(tmp_path):
    image(tmp_path / "a" / "1.png", 0)
    broken(tmp_path / "b" / "1.heic")
    with pytest.raises(ExpectedError, match=r"b has no image \(.*\.jfif.*\); skipped 1 file of another kind: 1.heic"):
        read_image_folder(tmp_path, 8)


def test_links_to_images_and_to_folders_are_followed(tmp_path):
    for number in range(2):
        image(tmp_path / "store" / "a" / f"{number}.png", (7, 0, 0))
        image(tmp_path / "set" / "b" / f"{number}.png", 0)
    (tmp_path / "set" / "a").symlink_to(tmp_path / "store" / "a")
    (tmp_path / "set" / "b" / "2.png").symlink_to(tmp_path / "set" / "b" / "1.png")
    splits = read_image_folder(tmp_path / "set", 8).splits
    assert sum(len(part.label_N) for part in splits.values()) == 5


@pytest.mark.parametrize(
    ("link", "target"), [("a/back", "."), ("a/self", "a"), ("a/more", "b"), ("a/deep/up", "a/deep"), ("c", "b")]
)
def test_a_folder_that_links_reach_twice_is_refused(tmp_path, link, target):
    image(tmp_path / "a" / "deep" / "1.png", 0)
    image(tmp_path / "b" / "1.png", 0)
    (tmp_path / link).symlink_to(tmp_path / target)
    with pytest.raises(ExpectedError, match="are one folder, reached twice by a link: remove the link"):
        read_image_folder(tmp_path, 8)


def test_a_test_set_that_is_a_link_to_the_training_set_is_refused(tmp_path):
    for kind in ("a", "b"):
        image(tmp_path / "train" / kind / "1.png", 0)
    (tmp_path / "test").symlink_to("train")
    with pytest.raises(ExpectedError, match="train are one folder, reached twice by a link"):
        read_image_folder(tmp_path, 8)


def test_a_pipe_called_a_image_is_refused_without_waiting(tmp_path):
    for kind in ("a", "b"):
        image(tmp_path / kind / "1.png", 0)
    os.mkfifo(tmp_path / "b" / "2.png")
    with pytest.raises(ExpectedError, match=r"2\.png is a pipe, a socket or a device, no image: remove it"):
        read_image_folder(tmp_path, 8)
