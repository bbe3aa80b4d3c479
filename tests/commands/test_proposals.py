"""Which system data are for, and what is proposed for them, beyond the whole of a study."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.commands.proposals import proposing, recognise
from pipeline.core.errors import ExpectedError
from pipeline.data.column_guess import BATCH, CELL_TYPE, SECTION, controls_of, score
from pipeline.mole.data.season import season_of
from pipeline.mole.data.step import Step
from pipeline.params.draft import Draft
from pipeline.registry import Params
from tests.bayes_moe.test_idx import write as write_idx
from tests.commands.test_study_commands import perturbed, write_cells


def drafted(*paths: Path, system: str | None = None, **given: Any) -> tuple[str, Draft, dict[str, Any]]:
    """The system, the draft, and its settings."""
    keys = {key.replace("__", "."): value for key, value in given.items()}
    name = system or recognise(paths, keys)[0]
    draft = Draft(keys)
    proposing(name).propose(paths, draft, getattr(Params(), name))
    return name, draft, draft.settings()


@pytest.mark.parametrize(
    ("labels", "controls"),
    [
        (["ctrl", "stim"], ["ctrl"]),
        (["Control", "control_drug"], ["Control"]),
        (["101ctrl", "101stim"], ["101ctrl"]),
        (["non-targeting", "TP53"], ["non-targeting"]),
        (["DMSO", "PBS", "x"], ["DMSO", "PBS"]),
        (["controlled", "a"], []),
        (["a_control", "b_control"], []),
        (["Dmso 0.1%", "drug"], ["Dmso 0.1%"]),
    ],
)
def test_labels_that_read_like_a_control(labels: list[str], controls: list[str]) -> None:
    assert controls_of(labels) == controls


def test_names_say_what_a_column_is() -> None:
    assert score("CellType", CELL_TYPE) > score("celltype_fine", CELL_TYPE) > score("leiden", CELL_TYPE) > 0
    assert score("donor_id", BATCH) > score("orig.ident", BATCH) > score("percent", BATCH) == 0
    assert score("section", SECTION) > score("sample", SECTION)


def test_a_control_decides_for_perturbation_even_where_there_are_positions(tmp_path: Path) -> None:
    path = write_cells(tmp_path / "a.h5ad", perturbed(), spatial=True)
    assert recognise((path,), {})[0] == "cfm_vc"
    only = write_cells(tmp_path / "b.h5ad", {"cell_type": ["B", "T"] * 60}, spatial=True)
    assert recognise((only,), {})[0] == "alphastomics"
    assert recognise((only,), {"ingest.control": "B"})[0] == "cfm_vc"


def test_a_batch_that_is_crossed_goes_before_a_pattern(tmp_path: Path) -> None:
    donors = [f"d{n // 2 % 2}" for n in range(240)]
    _, _, settings = drafted(write_cells(tmp_path / "a.h5ad", perturbed(donor=donors)))
    assert settings["ingest"]["columns"]["batch"] == "donor"


def test_doses_and_combinations_are_found(tmp_path: Path) -> None:
    number = np.arange(240)
    obs = perturbed()
    obs["condition"] = np.array(["ctrl", "A", "B", "A+B"])[number % 4]
    obs["dose"] = np.where(number % 4 == 0, 0.0, 1.0 + number // 4 % 2)
    obs["donor"] = (number // 4 % 2).astype(str)
    _, _, settings = drafted(write_cells(tmp_path / "a.h5ad", obs))
    assert settings["ingest"]["combination"] == "+"
    assert settings["ingest"]["dose"] == "dose"


def test_groups_have_the_names_that_ingest_gives_them(tmp_path: Path) -> None:
    """With doses, and a combination in one order, whichever way a cell type's file has it."""
    number = np.arange(480)
    cell_type = np.array(["B cells", "T cells", "monocytes"])[number // 4 % 3]
    label = np.array(["ctrl", "A", "B", "A+B"])[number % 4]
    label = np.where((label == "A+B") & (cell_type == "T cells"), "B+A", label)
    dose = np.where(label == "ctrl", 0.0, 1.0 + number // 12 % 2)
    obs = {"cluster": cell_type, "condition": label, "dose": dose, "donor": (number // 24 % 2).astype(str)}
    path = write_cells(tmp_path / "a.h5ad", obs)
    assert drafted(path)[2]["held_out"] == "each cell_type"
    pair = {"cell_type": "T cells", "perturbation": "A+B@2"}
    assert drafted(path, held_out=[pair])[1].given["held_out"] == [pair]  # it is not refused
    with pytest.raises(ExpectedError, match=r"no cell has perturbation B\+A; there are .*A\+B@1"):
        drafted(path, held_out=[pair | {"perturbation": "B+A"}])
    obs["condition"] = np.where((label == "ctrl") & (cell_type == "T cells"), "B", label)
    obs["dose"] = np.where(obs["condition"] == "ctrl", 0.0, 1.0 + number // 12 % 2)
    folds = drafted(write_cells(tmp_path / "b.h5ad", obs))[2]["held_out"]
    assert sorted(folds) == ["b_cells", "monocytes"]
    assert {pair["perturbation"] for pair in folds["b_cells"]} == {"A@1", "A@2", "B@1", "B@2", "A+B@1", "A+B@2"}


def test_a_type_without_a_control_is_not_held_out(tmp_path: Path) -> None:
    obs = perturbed(donor=[str(n // 2 % 2) for n in range(240)])
    obs["cluster"] = np.where((obs["cluster"] == "B cells") & (obs["condition"] == "ctrl"), "T cells", obs["cluster"])
    _, _, settings = drafted(write_cells(tmp_path / "a.h5ad", obs))
    assert sorted(settings["held_out"]) == ["monocytes", "t_cells"]
    assert settings["held_out"]["t_cells"] == [{"cell_type": "T cells", "perturbation": "stim"}]
    obs["cluster"] = "T cells"
    obs["cell_type"] = obs.pop("cluster")
    _, _, settings = drafted(write_cells(tmp_path / "b.h5ad", obs))
    assert settings["held_out"] == []


def test_tissue_of_several_sections_of_one_and_of_several_files(tmp_path: Path) -> None:
    number = np.arange(600)
    types = np.array(["neuron", "glia"])[number % 2]
    several = {"cell_type": types, "slice": number // 200}
    _, _, settings = drafted(write_cells(tmp_path / "several.h5ad", several, spatial=True))
    assert settings["ingest"]["section"] == "slice"
    assert settings["held_out"] == "each section"
    assert 2 <= settings["diffusion"]["neighbourhood"] < 200
    _, _, settings = drafted(write_cells(tmp_path / "one.h5ad", {"cell_type": types}, spatial=True))
    assert (settings["ingest"]["section"], settings["held_out"]) == (None, "blocks")
    files = tmp_path / "files"
    for name in "ab":
        write_cells(files / f"{name}.h5ad", {"cell_type": types}, spatial=True)
    _, _, settings = drafted(files)
    assert (settings["ingest"]["section"], settings["held_out"]) == (None, "each section")
    _, _, settings = drafted(files / "a.h5ad", files / "b.h5ad")
    assert settings["ingest"]["path"] == str(files)
    with pytest.raises(ExpectedError, match="folder of their own"):
        drafted(files / "a.h5ad", tmp_path / "one.h5ad")


def test_positions_in_columns_and_cells_in_one_place(tmp_path: Path) -> None:
    number = np.arange(300)
    x = np.random.default_rng(0).uniform(0, 9, 300)
    x[1] = x[0]
    y = x[::-1].copy()
    y[1] = y[0]
    _, _, settings = drafted(
        write_cells(tmp_path / "a.h5ad", {"x_centroid": x, "y_centroid": y, "cell_type": number % 3})
    )
    assert settings["ingest"]["spatial"] == ["x_centroid", "y_centroid"]
    assert settings["ingest"]["same_place"] == "first"


def test_files_in_idx_format(tmp_path: Path) -> None:
    write_idx(tmp_path / "mnist", train=[0, 1] * 20, t10k=[0, 1, 1])
    system, draft, settings = drafted(tmp_path / "mnist")
    assert system == "bayes_moe"
    assert draft.data == "mnist: IDX, 40 training and 3 test images, 2 classes"
    assert settings["ingest_ood"]["path"] == "data/embedded/photographs.yaml"
    assert settings["sweep"]["recipe"] == {"corrupted_pictures": 3, "batch_size": 10}


def test_images_in_folders(tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (90, 60), (number, 0, 0)).save(tmp_path / "pets" / kind / f"{number}.png")
    system, draft, settings = drafted(tmp_path / "pets")
    assert system == "bayes_moe"
    assert settings["ingest"]["size"] == 64
    assert "32 training and 8 test images, 2 classes" in draft.data
    assert settings["sweep"]["recipe"] == {"corrupted_pictures": 8, "batch_size": 8}
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(ExpectedError, match="packed"):
        recognise((tmp_path / "a.zip",), {})


@pytest.mark.parametrize(
    ("step", "rows"),
    [(3600, 24), (900, 96), (86400, 7), (7 * 86400, 52), (60, 60), (1, 60), (366 * 86400, 1)],
)
def test_a_season_by_the_step(step: int, rows: int) -> None:
    assert season_of(Step(step))[0] == rows
    assert season_of(Step(calendar="MS"))[0] == 12
    assert season_of(Step(calendar="3MS"))[0] == 4
    assert season_of(Step(calendar="B"))[0] == 5


@pytest.mark.parametrize(("rows", "frequency"), [(3000, "h"), (200, "D"), (72, "MS"), (40, "D"), (900, "15min")])
def test_windows_fit_the_series(tmp_path: Path, rows: int, frequency: str) -> None:
    from pipeline.mole.data.csv_form import CsvOptions
    from pipeline.mole.data.rolling_origin import earlier_origins
    from pipeline.mole.data.scaler import fit_scaler
    from pipeline.mole.data.source import accept_series
    from pipeline.mole.data.windows import windows_of

    path = tmp_path / "load.csv"
    when = pd.date_range("2020-01-01", periods=rows, freq=frequency)
    pd.DataFrame({"when": when, "load": np.sin(np.arange(rows))}).to_csv(path, index=False)
    system, _, settings = drafted(path)
    assert system == "mole"
    assert settings["ingest"]["date"] == "when"
    params = Params.model_validate({"mole": {"studies": {"load": settings}}}).mole.studies["load"]
    recipe = params.sweep.recipe
    series = accept_series(path, CsvOptions("when"), None).series
    for horizon in recipe.horizons:
        for split in ("train", "validation", "test"):
            assert len(windows_of(series, fit_scaler(series), split, recipe.lookback, horizon)) > 0
    earlier_origins(series, recipe.earlier_origins, recipe.lookback, max(recipe.horizons))


def test_a_public_file_is_known_by_what_it_holds(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    frame = pd.DataFrame(random.normal(size=(14_400, 7)), columns=names)
    frame.insert(0, "date", pd.date_range("2016-07-01", periods=14_400, freq="h"))
    frame.to_csv(tmp_path / "any.csv", index=False)
    _, _, settings = drafted(tmp_path / "any.csv")
    assert settings["ingest"]["layout"] == "etth"
    frame.drop(columns="HULL").to_csv(tmp_path / "less.csv", index=False)
    assert drafted(tmp_path / "less.csv")[2]["ingest"]["layout"] is None


def test_a_table_without_dates_is_asked_for_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    draft = drafted(tmp_path / "a.csv")[1]
    assert [question.key for question in draft.questions] == ["ingest.date"]


@pytest.mark.parametrize("series", [3, 60])
def test_of_many_series_no_ridge_of_each_is_searched(tmp_path: Path, series: int) -> None:
    months = pd.date_range("1990-01-01", periods=420, freq="MS")
    value_TC = np.random.default_rng(0).normal(size=(len(months), series))
    wide = pd.DataFrame(value_TC, months, [f"shop {number}" for number in range(series)])
    long = wide.rename_axis("ds").reset_index().melt("ds", var_name="unique_id", value_name="y")
    long.to_csv(tmp_path / "shops.csv", index=False)
    _, draft, settings = drafted(tmp_path / "shops.csv")
    assert settings.get("ridge") == ({"per_channel": False} if series > 50 else None)
    reasons = {decision.key: decision.reason for decision in draft.decisions}
    assert reasons["sweep.recipe.lookback"] == "4 seasons"
    assert reasons["sweep.recipe.horizons"] == "as many as 42 validation rows allow"
