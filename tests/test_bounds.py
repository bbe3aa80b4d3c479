"""Every number, text and list of a file that users write has an upper bound, and no file hangs or ends the process."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.alphastomics.data.recipe import TissueRecipe
from pipeline.alphastomics.data.recipe import read_recipe as read_tissue
from pipeline.bayes_moe.data.embedded import Recipe as ImagesRecipe
from pipeline.cfm_vc.data.recipe import Recipe as PerturbationRecipe
from pipeline.cfm_vc.data.recipe import read_recipe as read_perturbation
from pipeline.commands.catalogue import Catalogue
from pipeline.core.errors import ExpectedError
from pipeline.mole.data.recipe import SeriesRecipe
from pipeline.mole.data.recipe import read_recipe as read_series
from pipeline.params.allowed import check
from pipeline.params.reading import read_yaml, validated
from pipeline.params.section import LibrarySize, Seed, Steps
from pipeline.registry import Params

ROOT = Path(__file__).parents[1]
BOUNDS = {
    "integer": ({"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}),
    "number": ({"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}),
    "string": ({"maxLength"},),
    "array": ({"maxItems"},),
}


def unbounded(schema: Any, place: str = "") -> Iterator[str]:
    """Where a JSON schema allows numbers, texts, lists or mappings without end."""
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from unbounded(part, f"{place}[{number}]")
    if not isinstance(schema, dict):
        return
    if "enum" not in schema and "const" not in schema and isinstance(schema.get("type"), str):
        for bounds in BOUNDS.get(schema["type"], ()):
            if not bounds & set(schema):
                yield f"{place}: {schema['type']} without {' or '.join(sorted(bounds))}"
        if isinstance(schema.get("additionalProperties"), dict) and "maxProperties" not in schema:
            yield f"{place}: a mapping without maxProperties"
    for key, part in schema.items():
        if key not in ("default", "required", "enum"):
            yield from unbounded(part, f"{place}.{key}")


@pytest.mark.parametrize("kind", [Params, PerturbationRecipe, SeriesRecipe, TissueRecipe, ImagesRecipe, Catalogue])
def test_every_field_has_an_upper_bound(kind: Any) -> None:
    assert list(unbounded(kind.model_json_schema())) == []


def test_the_walk_finds_what_has_no_bound() -> None:
    schema = {
        "properties": {
            "a": {"type": "integer", "minimum": 1},
            "b": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
            "c": {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]},
            "d": {"type": "object", "additionalProperties": {"$ref": "#"}},
        }
    }
    assert len(list(unbounded(schema))) == 3


def params(place: str, value: Any) -> dict[str, Any]:
    content: dict[str, Any] = read_yaml(ROOT / "params.yaml")
    *sections, key = place.split(".")
    inside = content
    for section in sections:
        inside = inside[section]
    inside[key] = value
    return content


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("cfm_vc.vae.latent_intrinsic", 10**12, "less than or equal to 16384"),
        ("cfm_vc.vae.threads", 1_000_000, "less than or equal to 1024"),
        ("cfm_vc.vae.epochs", 10**30, "less than or equal to 10000000"),
        ("cfm_vc.vae.epochs", 1e30, "valid integer"),
        pytest.param("cfm_vc.vae.epochs", 16**5000, "a whole number of 20,001 bits", id="digits"),
        ("cfm_vc.vae.batch_size", 10**10, "less than or equal to 10000000"),
        ("cfm_vc.preprocess.seed", 2**63, "less than or equal to 4294967295"),
        ("cfm_vc.vae.learning_rate", 1e30, "less than or equal to 100"),
        ("alphastomics.diffusion.neighbourhood", 10**6, "less than or equal to 65536"),
        ("mole.sweep.recipe.horizons", list(range(1_000_000)), "at most 100 items"),
        ("cfm_vc.vae.hidden", ["x"] * 1_000_000, "at most 256 items"),
        ("cfm_vc.vae.hidden", ["x"] * 200, "and 180 more"),
        ("report.title", "x" * 10_000, "at most 1000 characters"),
        ("bayes_moe.sweep.points", {f"p{i}": {} for i in range(101)}, "at most 100 items"),
    ],
)
def test_what_no_machine_holds_is_one_short_message(place: str, value: Any, words: str) -> None:
    with pytest.raises(ExpectedError) as caught:
        validated(Params, params(place, value), "params.yaml")
    assert place in str(caught.value)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 10_000


@pytest.mark.parametrize(
    ("name", "read", "change", "words"),
    [
        ("perturbation", read_perturbation, {"cells": 10**9}, "cells = 1000000000: Input should be less than"),
        ("tissue", read_tissue, {"sections": 10**9}, "sections = 1000000000: Input should be less than"),
        ("tissue", read_tissue, {"cells_per_section": 10**7, "genes": 10**5}, "the counts of a section are drawn at"),
        ("series", read_series, {"rows": 10**9}, "rows = 1000000000: Input should be less than"),
    ],
)
def test_recipes_of_more_than_a_machine_holds(tmp_path: Path, name: str, read: Any, change: Any, words: str) -> None:
    content = read_yaml(ROOT / f"data/embedded/{name}.yaml") | change
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ExpectedError, match=words):
        read(tmp_path / "recipe.yaml")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: " + "[" * 1_000_000, "is nested more than 100 deep"),
        ("{a: " * 1_000_000, "is nested more than 100 deep"),
        ("- " * 1_000_000, "is nested more than 100 deep"),
        (LAUGHS, "holds more than 500,000 values, each alias counted as all that it stands for"),
        ("a: &a [*a]", "the alias \\*a stands inside what it stands for"),
        ("a: *b", "not valid YAML: found undefined alias"),
        ("a: [" + "1," * 600_000 + "]", "holds more than 500,000 values"),
        ("a: " + "x" * 20_000, "a value of 20,000 characters: at most 10,000"),
        ("a: " + "9" * 5_000, "is not valid YAML: Exceeds the limit"),
        ("? [a, b]\n: c", "is not valid YAML: unhashable"),
        ("a: 2021-02-31", "is not valid YAML: day is out of range"),
        ("#" + "x" * 17_000_000, "is larger than 16,777,216 bytes"),
    ],
    ids=[
        "lists",
        "mappings",
        "blocks",
        "laughs",
        "loop",
        "undefined",
        "long",
        "text",
        "digits",
        "key",
        "date",
        "large",
    ],
)
def test_a_yaml_file_that_would_hang_or_crash_is_one_message(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ExpectedError, match=words) as caught:
        read_yaml(tmp_path / "params.yaml")
    assert len(str(caught.value)) < 1_000


def test_anchors_and_aliases_of_use_are_read(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: &a {x: 1}\nc: [*a, *a]\n")
    assert read_yaml(tmp_path / "params.yaml") == {"a": {"x": 1}, "c": [{"x": 1}, {"x": 1}]}


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (Steps, 0, "--x 0: expected a whole number from 1 to 1,000"),
        (Steps, 2_000_000, "--x 2000000: expected a whole number from 1 to 1,000"),
        (Steps, True, "--x True: expected a whole number from 1 to 1,000"),
        (Steps, 2.5, "--x 2.5: expected a whole number from 1 to 1,000"),
        (Seed, 2**63, "--x 9223372036854775808: expected a whole number from 0 to 4,294,967,295"),
        (LibrarySize, float("nan"), "--x nan: expected a number from 1 to 1,000,000,000"),
        (LibrarySize, "many", "--x 'many': expected a number from 1 to 1,000,000,000"),
    ],
)
def test_what_a_request_may_ask_for_is_said_in_one_form(kind: Any, value: Any, words: str) -> None:
    with pytest.raises(ExpectedError) as caught:
        check(kind, "--x", value)
    assert str(caught.value) == words


def test_the_schema_for_editors_holds_the_bounds() -> None:
    vae = json.loads(json.dumps(Params.model_json_schema()))["$defs"]["Vae"]["properties"]
    assert vae["threads"]["maximum"] == 1024
    assert vae["hidden"]["maxItems"] == 256
