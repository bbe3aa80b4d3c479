"""Descriptions that keep digests: whatever changes in them or in the files beside them is found on reading."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.cfm_vc.data.contexts import load_contexts
from pipeline.core.errors import ExpectedError
from pipeline.core.sealed import read_sealed, write_sealed

CONTENT = {"loss": 0.1, "names": ["a", "b"], "umlaut": "ä"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data.bin").write_bytes(bytes(100))
    write_sealed(tmp_path / "about.json", CONTENT, "data.bin")
    return tmp_path / "about.json"


def test_what_was_written_comes_back(path: Path) -> None:
    assert read_sealed(path, "data.bin") == CONTENT


def test_another_layout_of_the_same_content_is_the_same(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert read_sealed(path, "data.bin") == CONTENT


def test_rewriting_what_was_read_with_its_digests_replaces_them(path: Path) -> None:
    write_sealed(path, json.loads(path.read_text()) | {"loss": 0.2}, "data.bin")
    assert read_sealed(path, "data.bin")["loss"] == 0.2


def test_every_single_flipped_bit_is_found(path: Path) -> None:
    """Of the file beside it in any byte; of the description wherever a JSON parser sees it."""
    data, whole = path.with_name("data.bin"), path.read_bytes()
    for place in range(0, 100, 7):
        content = bytearray(100)
        content[place] = 1 << place % 8
        data.write_bytes(content)
        with pytest.raises(ValueError, match=r"data.bin is damaged: it is not what was written"):
            read_sealed(path, "data.bin")
    data.write_bytes(bytes(100))
    for place, byte in enumerate(whole):
        if not chr(byte).isspace():
            path.write_bytes(whole[:place] + bytes([byte ^ 1]) + whole[place + 1 :])
            with pytest.raises(ValueError, match=r"about.json (is damaged|keeps no digests)|data.bin is damaged"):
                read_sealed(path, "data.bin")


def test_a_digest_that_is_not_kept_does_not_pass(path: Path) -> None:
    path.with_name("more.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"more.bin is damaged"):
        read_sealed(path, "more.bin")


def test_answers_of_a_sweep_with_a_flipped_bit_name_the_stage(tmp_path: Path) -> None:
    folder = tmp_path / "digits/dense"
    folder.mkdir(parents=True)
    answers = folder / "answers.safetensors"
    safetensors.numpy.save_file({"test": np.zeros(4, np.float32)}, answers)
    write_sealed(folder / "about.json", {"seeds": [0]}, answers.name)
    assert PointPredictions(folder).seeds == [0]
    content = bytearray(answers.read_bytes())
    content[-1] ^= 1
    answers.write_bytes(content)
    with pytest.raises(
        ExpectedError, match=r"answers.safetensors is damaged.*dvc repro --force moe_sweep@digits-dense"
    ):
        PointPredictions(folder)


def test_contexts_of_a_model_with_a_flipped_bit_name_the_stage(saved_cfm_vc, tmp_path: Path) -> None:
    arrays = saved_cfm_vc(tmp_path) / "contexts/contexts.safetensors"
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 1
    arrays.write_bytes(content)
    with pytest.raises(
        ExpectedError, match=r"no usable contexts in .*contexts.safetensors is damaged.*dvc repro --force flow_train"
    ):
        load_contexts(arrays.parent)
