"""params.yaml: every knob is checked before any work starts, and a mistake is one clear message."""

import copy
import datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ExpectedError
from pipeline.mole.params.sweep import Point, Recipe
from pipeline.params.reading import read_yaml, select_section, validated
from pipeline.params.sweep import Training
from pipeline.plan import folds_of_studies, plan_of
from pipeline.registry import Params, load_params

PARAMS = Path(__file__).parents[1] / "params.yaml"


def changed(**changes: Any) -> dict[str, Any]:
    """params.yaml's content with `section__key=value` changed, or added."""
    content = copy.deepcopy(read_yaml(PARAMS))
    for path, value in changes.items():
        *sections, key = path.split("__")
        place = content
        for section in sections:
            place = place[section]
        place[key] = value
    return content


def message(content: Any) -> str:
    with pytest.raises(ExpectedError) as caught:
        validated(Params, content, "params.yaml")
    return str(caught.value)


def test_the_committed_file_is_valid() -> None:
    assert load_params(PARAMS).cfm_vc.vae.epochs >= 1


def test_a_misspelt_key_names_the_right_one() -> None:
    assert "vae.laten_intrinsic: unknown key; did you mean 'latent_intrinsic'?" in message(
        changed(cfm_vc__vae__laten_intrinsic=8)
    )


def test_a_misspelt_key_inside_a_list_names_the_right_one() -> None:
    text = message(changed(cfm_vc__studies__pbmc__held_out=[{"cell_typ": "B", "perturbation": "x"}]))
    assert "held_out.0.cell_typ: unknown key; did you mean 'cell_type'?" in text
    assert "held_out.0.cell_type: missing" in text


def test_all_problems_are_named_at_once() -> None:
    text = message(changed(cfm_vc__vae__epochs=0, cfm_vc__flow__source="nowhere", cfm_vc__evaluate__steps=-1))
    assert "3 problem(s)" in text
    assert "vae.epochs = 0: Input should be greater than or equal to 1" in text
    assert "flow.source = 'nowhere': Input should be 'control' or 'noise'" in text
    assert "cfm_vc.evaluate.steps = -1" in text


@pytest.mark.parametrize("value", ["40", 40.5, True, None])
def test_a_value_of_another_type_is_refused_not_converted(value: object) -> None:
    assert "vae.epochs" in message(changed(cfm_vc__vae__epochs=value))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e-3, 0])
def test_an_impossible_learning_rate_is_refused(value: float) -> None:
    assert "vae.learning_rate" in message(changed(cfm_vc__vae__learning_rate=value))


def test_a_rule_over_two_keys_says_which() -> None:
    text = message(changed(cfm_vc__preprocess__cells_per_shard=5000))
    assert "cfm_vc.preprocess: cells_per_shard must be a multiple of cells_per_row_group" in text


@pytest.mark.parametrize(("pattern", "reason"), [("donor", "exactly one group"), ("(", "not a regular expression")])
def test_a_column_pattern_has_exactly_one_group(pattern: str, reason: str) -> None:
    column = {"column": "sample_id", "pattern": pattern}
    assert reason in message(changed(cfm_vc__studies__pbmc__ingest__columns__batch=column))


def test_a_column_is_a_name_or_a_name_with_a_pattern() -> None:
    column = {"column": "sample_id", "pattern": r"(\d+)$"}
    params = validated(Params, changed(cfm_vc__studies__pbmc__ingest__columns__batch=column), "params.yaml")
    assert params.cfm_vc.studies["pbmc"].ingest.columns.batch.pattern == r"(\d+)$"
    assert params.cfm_vc.studies["pbmc"].ingest.columns.cell_type.column == "cell_type"
    assert params.cfm_vc.studies["pbmc"].ingest.columns.cell_type.pattern is None


def test_labels_that_are_numbers_are_taken_as_the_text_that_files_hold() -> None:
    content = changed(
        cfm_vc__studies__pbmc__ingest__control=0,
        cfm_vc__studies__pbmc__ingest__columns__cell_type=7,
        cfm_vc__studies__pbmc__held_out=[{"cell_type": 0, "perturbation": 2.5}],
        alphastomics__studies__tissue__held_out=[151673, 101.0],
    )
    params = validated(Params, content, "params.yaml")
    assert params.cfm_vc.studies["pbmc"].ingest.control == "0"
    assert params.cfm_vc.studies["pbmc"].ingest.columns.cell_type.column == "7"
    (pair,) = params.cfm_vc.studies["pbmc"].held_out
    assert (pair.cell_type, pair.perturbation) == ("0", "2.5")
    assert params.alphastomics.studies["tissue"].held_out == ["151673", "101"]


@pytest.mark.parametrize("value", [False, None, datetime.date(2020, 1, 1)])  # what YAML makes of no, ~ and 2020-01-01
def test_a_label_that_yaml_reads_as_no_text_is_to_be_put_in_quotation_marks(value: Any) -> None:
    found = message(changed(cfm_vc__studies__pbmc__ingest__control=value))
    assert f"cfm_vc.studies.pbmc.ingest.control = {value!r}: is no text to YAML: put it in quotation marks" in found


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("vae: {epochs: 1, epochs: 2}\n")
    with pytest.raises(ExpectedError, match="'epochs' is given twice"):
        load_params(tmp_path / "params.yaml")


def test_malformed_yaml_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("vae:\n  epochs: [1\n")
    with pytest.raises(ExpectedError, match=r"not valid YAML(.|\n)*line 3"):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file_says_where_to_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExpectedError, match="run this from the project's root"):
        load_params(tmp_path / "params.yaml")


def test_numbers_in_scientific_notation_without_a_dot_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1e-3\nb: 2.5E+4\nc: '1e-3'\n")
    assert read_yaml(tmp_path / "x.yaml") == {"a": 1e-3, "b": 2.5e4, "c": "1e-3"}


def test_a_section_is_found_by_its_dotted_name() -> None:
    params = load_params(PARAMS)
    assert select_section(params, "cfm_vc.vae") is params.cfm_vc.vae
    assert select_section(params, "cfm_vc.vae") is params.cfm_vc.vae


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (
            {"dense": {}, "a": {"experts": 4, "top_k": 5}},
            "bayes_moe.sweep.points.a: top_k (5) must not exceed experts (4)",
        ),
        ({"dense": {"gate": "top_k"}, "a": {"experts": 4}}, "gate says nothing about a dense point"),
        ({"dense": {}}, "holds no point with experts"),
        ({"a": {"experts": 4}}, "exactly one dense point in the head"),
        ({"dense": {}, "a": {"experts": 4, "place": "block"}}, "exactly one dense point in the block"),
        (
            {"dense": {"dropout": 0.1}, "a": {"experts": 4}},
            "without hidden, dropout and members to compare dense",
        ),
        ({"dense": {}, "b": {"hidden": 8, "place": "block"}, "a": {"experts": 4}}, "to compare b with, found 0"),
        ({"dense": {}, "a": {"experts": 4, "dropout": 0.1}}, "dropout is for dense points: leave it out"),
        ({"dense": {}, "a": {"experts": 4, "hidden": 8}}, "hidden is for dense points: leave it out"),
        ({"dense": {}, "b": {"dropout": 1.0}, "a": {"experts": 4}}, "points.b.dropout"),
        ({"dense": {}, "a": {"experts": 4, "members": 4}}, "members is for dense points: leave it out"),
        ({"dense": {}, "b": {"members": 4, "dropout": 0.1}, "a": {"experts": 4}}, "members are in the head"),
        ({"dense": {}, "b": {"members": 4, "place": "block"}, "a": {"experts": 4}}, "members are in the head"),
        ({"dense": {}, "b": {"diversity_weight": 1.0}, "a": {"experts": 4}}, "diversity_weight says nothing about"),
        ({"dense": {}, "a": {"expert": 4}}, "bayes_moe.sweep.points.a.expert: unknown key; did you mean 'experts'?"),
        ({"dense": {}, "a; touch b": {"experts": 4}}, "expected lower-case letters, digits and _, a letter first"),
    ],
)
def test_points_of_the_sweep_that_make_no_sense(points: Any, words: str) -> None:
    assert words in message(changed(bayes_moe__sweep__points=points))


def test_a_recipe_that_makes_no_sense() -> None:
    assert "a seed is given twice" in message(changed(bayes_moe__studies__digits__seeds=[1, 1]))
    assert "bayes_moe.sweep.recipe.batch_size = 1" in message(changed(bayes_moe__sweep__recipe__batch_size=1))
    assert "warmup_epochs (9) must be fewer than epochs (9)" in message(
        changed(bayes_moe__sweep__recipe__warmup_epochs=9, bayes_moe__sweep__recipe__epochs=9)
    )
    assert "warmup_epochs needs schedule: cosine" in message(changed(bayes_moe__sweep__recipe__schedule="constant"))


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (
            {"a": {"backbone": "rlinear", "experts": 4}},
            "exactly one rlinear without experts to compare a with",
        ),
        (
            {"a": {"backbone": "rlinear", "experts": 4}, "b": {"backbone": "rlinear"}, "c": {"backbone": "rlinear"}},
            "exactly one rlinear without experts to compare a with, found 2",
        ),
        ({"a": {"backbone": "rlinear"}}, "holds no point with experts"),
        ({"a": {"backbone": "arima"}}, "mole.sweep.points.a.backbone = 'arima'"),
        ({"a": {"backbone": "rlinear", "experts": 2, "top_k": 3}}, "a: top_k (3) must not exceed experts (2)"),
        ({"a": {"backbone": "rlinear", "experts": 0}}, "mole.sweep.points.a.experts = 0"),
        (
            {"a": {"backbone": "rlinear", "head_dropout": 0.1}},
            "head_dropout says nothing about a point without",
        ),
        (
            {"a": {"backbone": "rlinear", "expert": 2}},
            "mole.sweep.points.a.expert: unknown key; did you mean 'experts'?",
        ),
        ({"a; touch b": {"backbone": "rlinear"}}, "expected lower-case letters, digits and _, a letter first"),
    ],
)
def test_forecasters_that_make_no_sense(points: Any, words: str) -> None:
    assert words in message(changed(mole__sweep__points=points))


def test_what_a_point_has_of_its_own_goes_before_the_recipe_and_the_rest_is_the_recipes() -> None:
    point = Point(backbone="rlinear", experts=2, head_dropout=0.0, learning_rate=0.5)
    recipe = load_params(PARAMS).mole.sweep.recipe.model_copy(update={"head_dropout": 0.25})
    found = Training[Recipe, Point].of(recipe, point, seed=7)
    own = {"head_dropout": 0.0, "learning_rate": 0.5, "seed": 7}  # 0.0 is a value: only null leaves it to the recipe
    assert found.recipe == recipe.model_copy(update=own)
    assert found.point == point


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kernel": 24}, "mole.sweep.recipe: kernel (24) must be odd: a moving average is centred on a row"),
        ({"seed": 1}, "mole: sweep.recipe.seed has no effect: give `seeds` to a study"),
        ({"seeds": [1, 1]}, "mole: sweep.recipe.seeds has no effect: give `seeds` to a study"),
        ({"horizons": [96, 24, 96]}, "mole.sweep.recipe: horizons holds a value twice"),
        ({"horizons": [0]}, "mole.sweep.recipe.horizons.0 = 0"),
        ({"lookback": 1}, "mole.sweep.recipe.lookback = 1"),
        ({"lookback": 23}, "mole.studies.series: evaluate.season (24) must not exceed sweep.recipe.lookback (23)"),
        ({"head_dropout": 1.0}, "mole.sweep.recipe.head_dropout = 1.0"),
        ({"start": "zero"}, "'random' or 'ridge'"),
        ({"offset": "median"}, "'none', 'last' or 'mean'"),
        ({"router_learning_rate": 0.0}, "mole.sweep.recipe.router_learning_rate = 0.0"),
    ],
)
def test_a_recipe_of_forecasters_that_makes_no_sense(changes: dict[str, Any], words: str) -> None:
    assert words in message(changed(**{f"mole__sweep__recipe__{key}": value for key, value in changes.items()}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modes": {"joint": 0.5, "expr_to_pos": 0.5, "pos_to_expr": 0.1}}, "diffusion.modes: the chances of joint"),
        ({"modes": {"joint": 1.0, "expr_to_pos": 0.0}}, "must sum to 1, not to 1.4"),  # the third has its default
        ({"heads": 5}, "dimensions (64) must be a multiple of heads (5)"),
        ({"top_k": 5}, "top_k (5) must not exceed experts (4)"),
        ({"masking": "block", "masked_genes": 0.0, "masked_dimensions": 0.0}, "masking: block hides nothing"),
        ({"capacity_factor": 0.0}, "diffusion.capacity_factor = 0.0: Input should be greater than 0"),
        ({"neighbourhood": 1}, "diffusion.neighbourhood = 1"),
        ({"dropout": 1.0}, "diffusion.dropout = 1.0"),
        ({"gate": "headwize"}, "'none', 'headwise' or 'elementwise'"),
    ],
)
def test_a_diffusion_that_makes_no_sense(changes: dict[str, Any], words: str) -> None:
    assert words in message(changed(**{f"alphastomics__diffusion__{key}": value for key, value in changes.items()}))


def test_switches_that_are_off_keep_their_values() -> None:
    params = validated(
        Params, changed(alphastomics__diffusion__masking="none", alphastomics__diffusion__ffn="dense"), "params.yaml"
    )
    assert params.alphastomics.diffusion.masked_genes > 0
    assert params.alphastomics.diffusion.experts > 1
    one = validated(
        Params,
        changed(alphastomics__diffusion__masking="random", alphastomics__diffusion__masked_dimensions=0.0),
        "params.yaml",
    )
    assert one.alphastomics.diffusion.masking == "random"


def test_a_named_fold_holds_something_out() -> None:
    assert "held_out.a = []" in message(changed(cfm_vc__studies__pbmc__held_out={"a": []}))
    validated(Params, changed(cfm_vc__studies__pbmc__held_out=[]), "params.yaml")  # nothing at all may be held out


def test_the_report_shows_studies_that_there_are() -> None:
    said = message(changed(report__studies=["seriess"]))
    assert (
        said == "params.yaml has 1 problem(s):\n  report.studies: there is no study 'seriess'; did you mean 'series'?"
    )
    assert "there are pbmc, tissue, digits, series" in message(changed(report__studies=["kang"]))
    validated(Params, changed(report__studies=["series"]), "params.yaml")


def test_what_is_wrong_with_a_list_or_a_name_is_said_in_plain_words() -> None:
    assert "studies.pbmc.seeds = []: expected at least 1" in message(changed(cfm_vc__studies__pbmc__seeds=[]))
    assert "seeds = 0: expected a list, in square brackets" in message(changed(cfm_vc__studies__pbmc__seeds=0))
    said = message(changed(**{"cfm_vc__studies__my kang": {"ingest": {"path": "a.h5ad"}}}))
    assert "cfm_vc.studies: the name 'my kang': expected lower-case letters, digits and _, a letter first" in said
    said = message(changed(cfm_vc__studies__pbmc__ingest={"path": "a.h5ad", "counts": "raw"}))
    assert "ingest.counts = 'raw': expected auto, X, raw/X or layers/<name>" in said


def test_a_group_is_held_out_by_one_fold() -> None:
    def folds(a: dict[str, str], b: dict[str, str]) -> dict[str, Any]:
        return changed(cfm_vc__studies__pbmc__held_out={"a": [a], "b": [{"cell_type": "B", "perturbation": "x"}, b]})

    both = message(folds({"cell_type": "T", "perturbation": "x"}, {"cell_type": "T"}))
    assert "held_out.a and held_out.b both hold out x in T: one fold scores it" in both
    assert "hold out every perturbation in T" in message(folds({"cell_type": "T"}, {"cell_type": "T"}))
    apart = folds({"cell_type": "T", "perturbation": "x"}, {"cell_type": "T", "perturbation": "y"})
    validated(Params, apart, "params.yaml")


def test_one_process_is_not_spoken_of_and_several_are_and_reserve_their_threads() -> None:
    """What is written of trainings in one process is as it was before there could be several."""
    params = load_params()
    vae = params.cfm_vc.studies["pbmc"].vae
    assert "processes" not in vae.model_dump()
    several = vae.model_copy(update={"processes": 3, "threads": 2})
    assert several.model_dump()["processes"] == 3
    params.cfm_vc.studies["pbmc"] = params.cfm_vc.studies["pbmc"].model_copy(update={"vae": several})
    runs = plan_of(params, folds_of_studies(params), {})["cfm_vc"]["runs"]
    assert {run["threads"] for run in runs.values()} == {6}


@pytest.mark.parametrize("number", [0, 257])
def test_a_number_of_processes_that_makes_no_sense(number: int) -> None:
    assert f"cfm_vc.vae.processes = {number}: " in message(changed(cfm_vc__vae__processes=number))
