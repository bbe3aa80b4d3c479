"""A study of a time series drafted from its CSV file: the column of dates, a public layout, windows that fit it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted, listed, quoted
from pipeline.data.file_kind import file_kind
from pipeline.data.source import Findings
from pipeline.mole.data.csv_form import SUFFIXES, CsvOptions
from pipeline.mole.data.csv_series import check_table, likely_dates
from pipeline.mole.data.csv_table import CsvTable
from pipeline.mole.data.layouts import LAYOUTS, rows_needed
from pipeline.mole.data.long_format import NAMES_OF_SERIES, names_series, trailing
from pipeline.mole.data.numbers import is_text, missing
from pipeline.mole.data.season import season_of
from pipeline.mole.data.series import Series
from pipeline.mole.data.source import accept_series
from pipeline.mole.data.step import Step
from pipeline.mole.params.ingest import Columns, named_twice
from pipeline.mole.params.system import Mole
from pipeline.params.allowed import check
from pipeline.params.draft import Draft

LOOKBACK, HORIZONS = 336, (96, 192, 336, 720)  # of the protocol of the field, for its public files
SEASONS_SEEN = 4  # in a lookback, and in the longest horizon
MOST_SEARCHED = 50  # channels, of each of which a ridge of its own is searched
MOST_LOOKED_AT = 10_000  # rows
WORKBOOKS = (".xlsx", ".xls", ".ods")
VALUES = "y"  # what the column of values is called in long format, where there are others
_COLUMNS = ("known", "static")
_OPTIONS = ("separator", "decimal", "date_format")


def recognise(paths: tuple[Path, ...], _: Mapping[str, Any]) -> str | None:
    """Why this is a time series; None where it is not."""
    if len(paths) == 1 and paths[0].suffix.lower() in (*SUFFIXES, *WORKBOOKS) and file_kind(paths[0]) != "folder":
        return "a CSV file"
    return None


def propose(paths: tuple[Path, ...], draft: Draft, shared: Mole) -> None:
    """Draft all that a study needs and that its data decide. ExpectedError where the series cannot be used."""
    if len(paths) != 1:
        raise ExpectedError("a series is one CSV file: join the files and name that")
    (path,) = paths
    draft.decide("ingest.path", str(path), "")
    date = _decide_date(draft, path)
    if date is None:
        return
    _check_given(draft, date)
    options = _options(draft, date)
    if not _decide_columns(draft, CsvTable(path, options, Findings()), options):
        return
    options = _options(draft, date)
    layout = _decide_layout(draft, path, options)
    try:
        accepted = accept_series(path, options, layout)
    except ExpectedError as error:
        raise ExpectedError(
            f"{error}\nWhat concerns how the file is read can be said here: --set ingest.date=NAME, "
            "ingest.separator=';', ingest.decimal=',', ingest.date_format='%d/%m/%Y %H:%M'; ingest.known=[NAME] for "
            "columns known beforehand, ingest.static=[NAME] for those with one value per series"
        ) from error
    series, step = accepted.series, accepted.series.step
    draft.notes += [*accepted.notes, *_perhaps_known(series)]
    channels = listed(series.channels, 5)
    draft.data = (
        f"{path.name}: {len(series.date_T):,} rows, one every {step.told().removeprefix('1 ')}, of "
        f"{counted(len(series.channels), 'channel')} ({channels})"
    )
    if len(series.channels) > MOST_SEARCHED:
        why = f"a search for each of {len(series.channels):,} channels would take as many times as long"
        draft.decide("ridge.per_channel", False, why)
    sizes = {name: after - first for name, (first, after) in series.splits.items()}
    _decide_windows(draft, sizes, step, layout, shared)


def _options(draft: Draft, date: str) -> CsvOptions:
    said: dict[str, Any] = {name: draft.given.get(f"ingest.{name}") for name in _OPTIONS}
    said |= {name: tuple(columns) for name in _COLUMNS if isinstance(columns := _said(draft, name), list)}
    return CsvOptions(date, **said, section="ingest")


def _said(draft: Draft, name: str) -> Any:
    """What the user or the draft has set."""
    decided = {decision.key: decision.value for decision in draft.decisions}
    return draft.given.get(f"ingest.{name}", decided.get(f"ingest.{name}"))


def _check_given(draft: Draft, date: str) -> None:
    """ExpectedError where the known and static columns given are no names, or one is given twice."""
    columns = {name: draft.given.get(f"ingest.{name}", []) for name in _COLUMNS}
    for name, given in columns.items():
        check(Columns, f"ingest.{name}", given)
    if twice := named_twice(date, **columns):
        raise ExpectedError(twice)


def _decide_columns(draft: Draft, table: CsvTable, options: CsvOptions) -> bool:
    """Of a file in long format, the columns beside names, time stamps and `y`: of one value for each series they are
    static; whether the future of others is known only the user can say, as of columns of any file that go on where
    others end. Whether nothing is open."""
    undated = [name for name in table.names if name != options.date]
    apart = (*options.known, *options.static)
    if (identifier := names_series(table, undated)) in apart and identifier.lower() in NAMES_OF_SERIES:
        raise ExpectedError(f"column {quoted(identifier)} names the series: it is neither known nor static")
    others = [name for name in undated if name not in apart]
    identifier = names_series(table, others)
    further = [name for name in others if name not in (identifier, VALUES)]
    if len(set(undated)) < len(undated):
        return True  # and the checks say which names several columns have
    if identifier is None or VALUES not in others:
        ends = {name: trailing(missing(table.text(name))) for name in others}
        longer = [name for name, rows in ends.items() if not rows]
        if len(longer) in (0, len(others)) or len(set(ends.values())) > 2:
            return True
        return _ask_known(draft, longer, "go on where all others end", "drop these rows", options)
    if not further:
        return True
    most = _most_values(table, identifier, further)
    static = [name for name in further if most[name] == 1]
    if static:
        draft.decide("ingest.static", static, "one value for each series: which may share a map")
    changing = [name for name in further if name not in static]
    text = [name for name in changing if is_text(table.text(name))]
    if text:
        what = f"text in column {quoted(text[0])} that changes within a series"
        raise ExpectedError(f"{what}: leave the column out, or write it as numbers, such as 0 and 1 for no and yes")
    return not changing or _ask_known(
        draft, changing, f"change with time beside {VALUES!r}", "leave them out of the file", options
    )


def _most_values(table: CsvTable, identifier: str, columns: list[str]) -> dict[str, int]:
    """Of each column, how many different values one series has at most, missing ones aside."""
    texts = {name: pc.if_else(pa.array(missing(table.text(name))), None, table.text(name)) for name in columns}
    series = pa.table({**texts, identifier: table.text(identifier)}).group_by(identifier)
    kinds = series.aggregate([(name, "count_distinct", pc.CountOptions(mode="only_valid")) for name in columns])
    return {name: pc.max(kinds[f"{name}_count_distinct"]).as_py() for name in columns}


def _ask_known(draft: Draft, names: list[str], what: str, otherwise: str, options: CsvOptions) -> bool:
    answer = f"[{', '.join([*options.known, *names])}]"
    known = {answer: f"their future is known, as that of a holiday or a price; else {otherwise}"}
    draft.ask("ingest.known", f"columns that {what}: {listed(map(quoted, names), 5)}", known)
    return False


def _decide_date(draft: Draft, path: Path) -> str | None:
    """The column of time stamps; None where that is asked."""
    key = "ingest.date"
    table = CsvTable(path, _options(draft, "date"), Findings())
    if key in draft.given:
        return str(draft.decide(key, None, ""))
    found = likely_dates(table)
    if len(found) == 1:
        first = table.text(found[0])[0].as_py()
        return str(draft.decide(key, found[0], f"the column that holds dates, the first {first}"))
    problem = "several columns hold dates" if found else "no column holds dates such as 2016-07-01 13:00"
    draft.ask(key, problem, dict.fromkeys(found or table.names[:20], ""))
    return None


def _decide_layout(draft: Draft, path: Path, options: CsvOptions) -> str | None:
    """The public file that this is by step, target and number of channels, if it has rows enough."""
    key = "ingest.layout"
    if key in draft.given:
        given = draft.decide(key, None, "")
        return given if given in LAYOUTS else None
    ignored = Findings()
    table = CsvTable(path, options, ignored)
    known = {name: layout for name, layout in LAYOUTS.items() if layout.target in table.names}
    found = check_table(table, options, ignored, even=False) if known else None
    for name, layout in known.items():
        assert found is not None
        alike = layout.target in found.channels and len(found.channels) == layout.channels
        stepped = found.step is not None and found.step.seconds == layout.step_seconds
        if alike and stepped and found.rows >= rows_needed(name):
            draft.decide(
                key, name, f"{layout.channels} channels with {layout.target}: the public file, split as published"
            )
            return name
    draft.decide(key, None, "no public file: 70 % of the rows for train, 10 % for validation, 20 % for test")
    return None


def _perhaps_known(series: Series) -> list[str]:
    """A note on channels that look as if their future were known."""
    pairs = zip(series.channels, series.value_TC.T, strict=True)
    marks = [name for name, value_T in pairs if len(np.unique(value_T[:MOST_LOOKED_AT])) == 2]
    if not marks or len(marks) == len(series.channels):
        return []
    told = f"{listed(map(quoted, marks), 5)} with two values alone: where the future is known, as that of a holiday"
    return [f"{told}, set ingest.known to [{', '.join(marks)}], and nothing is forecast of it"]


def _decide_windows(draft: Draft, sizes: Mapping[str, int], step: Step, layout: str | None, shared: Mole) -> None:
    """Season, lookback and horizons that the step asks for and the splits have room for."""
    recipe = shared.sweep.recipe
    season, called = season_of(step)
    wanted = SEASONS_SEEN * season
    lookback, horizons = wanted, [season, wanted]
    why = of_lookback = f"{SEASONS_SEEN} seasons"
    if layout is not None:
        lookback, horizons, why = LOOKBACK, list(HORIZONS), "the protocol of the field"
        of_lookback = why
    # A window of each split, and of the first half of train with the part after it that earlier origins validate on.
    half = sizes["train"] // 2
    origin = half // max(1, recipe.earlier_origins) if recipe.earlier_origins else half
    longest = max(1, min(sizes["validation"], sizes["test"], origin, half // 2) // (1 if layout else 2))
    if max(horizons) > longest:
        horizons = sorted({min(length, longest) for length in horizons})
        why = f"as many as {sizes['validation']:,} validation rows allow"
    if lookback > half - horizons[-1]:
        lookback, of_lookback = half - horizons[-1], f"as many as {sizes['train']:,} train rows allow"
    lookback = max(2, lookback)
    if season > lookback:
        season, called = lookback, "the lookback, in which a season has to lie"
    if season != shared.evaluate.season:
        draft.decide("evaluate.season", season, f"rows of {called}")
    if lookback != recipe.lookback:
        draft.decide("sweep.recipe.lookback", lookback, of_lookback)
    if horizons != recipe.horizons:
        draft.decide("sweep.recipe.horizons", horizons, why)
