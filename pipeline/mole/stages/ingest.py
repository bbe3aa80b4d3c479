"""A time series, a lab's CSV file or a simulated one, validated, split and in one form in data/raw/."""

from pathlib import Path

from pipeline.core.entry import run_study_stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder, sha256, write_json
from pipeline.core.paths import StudyPaths
from pipeline.core.wording import counted
from pipeline.data.file_kind import is_recipe
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.layouts import FEWEST_ROWS, split_rows
from pipeline.mole.data.recipe import read_recipe
from pipeline.mole.data.series import Series, write_series
from pipeline.mole.data.simulation import simulate
from pipeline.mole.data.source import AcceptedSeries, accept_series
from pipeline.mole.data.step import Step
from pipeline.mole.params.ingest import Ingest

SECTION = "mole.ingest"


def run(settings: Ingest, at: StudyPaths) -> None:
    """Write data/raw/mole/<study>, all of it or, on a problem, nothing."""
    path = Path(settings.path)
    truth = None
    if is_recipe(path):
        accepted, truth = _simulate(path, settings, at)
        description = f"Simulated: {_size(accepted.series)}, with known changes of regime and trend"
    else:
        options = CsvOptions(
            settings.date,
            settings.separator,
            settings.decimal,
            settings.date_format,
            tuple(settings.known),
            tuple(settings.static),
            f"{at.key}.ingest",
        )
        accepted = accept_series(path, options, settings.layout)
        description = f"{path.name}: {_size(accepted.series)}"
    series = accepted.series
    with atomic_folder(at.raw) as folder:
        write_series(folder / "series.parquet", series)
        source = {
            "schema_version": 1,
            "kind": "series",
            "simulated": truth is not None,
            "description": description,
            "input": settings.path,
            "input_sha256": sha256(path),
            "notes": accepted.notes,
            "layout": settings.layout,
            "channels": list(series.channels),
            **series.step.described(),
            "rows": len(series.date_T),
            "splits": {name: list(rows) for name, rows in series.splits.items()},
            **({"known": series.known} if series.known else {}),
            **({"static": series.static} if series.static else {}),
            **({"truth": truth} if truth is not None else {}),
        }
        write_json(folder / "source.json", source)
    print(_summary(description, accepted))


def _simulate(path: Path, settings: Ingest, at: StudyPaths) -> tuple[AcceptedSeries, dict[str, object]]:
    if settings.layout is not None:
        raise ExpectedError(
            f"{at.key}.ingest.layout = {settings.layout!r} can be given for a CSV file only: a recipe's "
            "series is split by shares; set it to null"
        )
    for name in ("known", "static"):
        if getattr(settings, name):
            raise ExpectedError(
                f"{at.key}.ingest.{name} can be given for a CSV file only: a recipe's series has channels alone; "
                "leave it out"
            )
    recipe = read_recipe(path)
    simulated = simulate(recipe)
    splits = split_rows(None, recipe.rows)
    assert splits is not None, f"a recipe has {FEWEST_ROWS} rows at the fewest"
    step = Step(60 * recipe.step_minutes)
    series = Series(simulated.date_T, simulated.value_TC, tuple(simulated.channels), step, splits)
    return AcceptedSeries(series, []), simulated.truth()


def _size(series: Series) -> str:
    rows, channels = counted(len(series.date_T), "row"), counted(len(series.channels), "channel")
    return f"{rows} x {channels}, one row every {series.step.told().removeprefix('1 ')}"


def _summary(description: str, accepted: AcceptedSeries) -> str:
    """What a person wants to see after ingest: sizes, splits, channels, notes."""
    series = accepted.series
    lines = [description, ""]
    for name, (first, after) in series.splits.items():
        begin, last = (series.step.stamp(series.date_T[row]) for row in (first, after - 1))
        lines.append(f"{name.ljust(10)}  {counted(after - first, 'row').rjust(12)}  {begin} to {last}")
    names = series.channels
    lines += ["", f"channels: {len(names)} ({', '.join(names[:10])}{', ...' if len(names) > 10 else ''})"]
    return "\n".join(lines + [f"note: {note}" for note in accepted.notes])


if __name__ == "__main__":
    run_study_stage(SECTION, run)
