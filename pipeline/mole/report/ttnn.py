"""The chapter on inference: what a forecast costs on this machine, and how a Tenstorrent card would do."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.mole.glossary import label_of
from pipeline.mole.plots.latency import Timing, draw_timings
from pipeline.mole.report.ttnn_results import NOT_MEASURED, Inference, is_number
from pipeline.plots.theme import Picture
from pipeline.report.numbers import amount
from pipeline.report.page import Block, Cell, Facts, Figures, Heading, Section, Table
from pipeline.report.scores import joined, shown, signed

ANCHOR = "inference"
_BACKENDS = {
    "pytorch_eager": "PyTorch",
    "pytorch_compiled": "PyTorch, compiled",
    "ttnn_device": "TTNN",
}
_NONE = Cell("", quiet=True)


def inference(found: Inference) -> Section:
    """Times on this machine, agreement per data type, the estimate for cards, and the cost of experts."""
    machine = found.times["machine"]
    blocks: list[Block] = [
        *_drawn(found),
        times_table(found),
        Heading("Agreement with PyTorch in float32"),
        agreement_table(found),
        Heading("What a card could do: an estimate, not a measurement"),
        roofline_table(found),
        goals_table(found),
        Facts([(card, _card(of)) for card, of in found.agreement["roofline"]["cards"].items()], small=True),
        Heading("What more experts cost in time"),
        experts_table(found),
        Heading("Where it was measured"),
        Facts([(name.replace("_", " "), str(value)) for name, value in machine.items()], small=True),
    ]
    return Section("Inference, on the CPU and on Tenstorrent", ANCHOR, in_words(found), blocks)


def in_words(found: Inference) -> str:
    """The fastest answers on this machine, the agreement of each data type, and what was not measured."""
    of = found.times
    lead = (
        f"Windows of {of['channels']} channels, {of['lookback']} rows in and {of['horizon']} out. Times are those of "
        "the machine named below, and differ on another."
    )
    return " ".join(
        filter(None, [lead, *(_fastest(found, point) for point in found.points), agreement_in_words(found)])
    )


def agreement_in_words(found: Inference) -> str:
    """How many of the agreements reach their target, or why there are none."""
    cells = [of for point in found.points for of in found.agreement["points"][point]["golden"].values()]
    reasons = sorted({of for of in cells if isinstance(of, str)})
    measured = [of for of in cells if not isinstance(of, str)]
    said = []
    if measured:
        met = sum(bool(of["met"]) for of in measured)
        said.append(
            f"Op by op through TTNN's reference functions, {met} of {len(measured)} combinations of model and data "
            "type reach their target of agreement."
        )
    return " ".join([*said, *(f"Agreement {reason}." for reason in reasons)])


def agreement_table(found: Inference) -> Table:
    """A block per model; a row per data type, by the reference functions and on a device."""
    rows: list[list[Cell]] = []
    for point, of in found.agreement["points"].items():
        rows.append([Cell(label_of(point))])
        for how, name in (("golden", "reference functions"), ("device", "device")):
            for dtype, result in of[how].items():
                rows.append([Cell(dtype, remark=name), *_agreement(result)])
    header = [
        "data type",
        "PCC of outputs\N{NO-BREAK SPACE}↑",
        "PCC of router\N{NO-BREAK SPACE}↑",
        "target",
        "change of MSE",
    ]
    caption = (
        f"Pearson correlation with PyTorch in float32 on {found.agreement['windows']} test windows, of the forecasts "
        "and of the router's weights, and what the data type does to the MSE. ▸ and bold mark a target that is "
        "reached. Reference functions: Tenstorrent's own in torch, with every intermediate rounded to the data type."
    )
    return Table(header, rows, caption)


def roofline_table(found: Inference) -> Table:
    """Estimated time and throughput on each card, at one sequence and at the largest batch."""
    roofline = found.agreement["roofline"]
    rows: list[list[Cell]] = []
    for point, by_card in roofline["points"].items():
        rows.append([Cell(label_of(point))])
        for card, by_dtype in by_card.items():
            for dtype, by_batch in by_dtype.items():
                sizes = sorted(by_batch, key=int)
                for size in dict.fromkeys((sizes[0], sizes[-1])):
                    of = by_batch[size]
                    cells = [
                        Cell(size),
                        _number(of["flops_per_sequence"], amount),
                        _number(of["bytes_per_sequence"], amount),
                        _number(of["latency_ms"], lambda value: shown(value)),
                        _number(of["sequences_per_second"], amount),
                        Cell(str(of["bound"])),
                    ]
                    rows.append([Cell(f"{card}, {dtype}"), *cells])
    header = [
        "card, data type",
        "batch",
        "FLOPs each",
        "bytes each",
        "ms (estimate)",
        "sequences/s (estimate)",
        "bound by",
    ]
    return Table(header, rows, str(roofline["label"]))


def goals_table(found: Inference) -> Table:
    """Whether the goals are reached: measured on this machine, and by the estimate."""
    goals = list(found.agreement["roofline"]["goals"])
    rows: list[list[Cell]] = []
    for point in found.points:
        rows.append([Cell(label_of(point))])
        for backend, of in found.times["goals"].get(point, {}).items():
            rows.append([Cell(_backend(backend), remark="measured"), *(_said(of.get(goal)) for goal in goals)])
        cards = found.agreement["roofline"]["goals"][goals[0]].get(point, {}) if goals else {}
        for card, by_dtype in cards.items():
            for dtype in by_dtype:
                cells = [_said(found.agreement["roofline"]["goals"][goal][point][card][dtype]) for goal in goals]
                rows.append([Cell(f"{card}, {dtype}", remark="estimate"), *cells])
    caption = "Whether some batch size reaches both the throughput and the latency."
    return Table(["goal", *goals], rows, caption, folded="Goals of throughput and latency, reached or not")


def times_table(found: Inference) -> Table:
    """Every time that was taken of the trained models."""
    rows: list[list[Cell]] = []
    for point in found.points:
        for backend in found.backends:
            of = found.rows(point, backend)
            if not of:
                continue
            rows.append([Cell(f"{label_of(point)}, {_backend(backend)}")])
            if all(not is_number(row["p50_ms"]) for row in of):
                rows.append([Cell("all batch sizes"), _number(of[0]["p50_ms"], shown), _NONE, _NONE])
                continue
            for row in of:
                cells = [_number(row[name], shown) for name in ("p50_ms", "p95_ms")]
                rows.append(
                    [Cell(f"{row['batch']}, {row['dtype']}"), *cells, _number(row["sequences_per_second"], amount)]
                )
    header = [
        "batch, data type",
        "p50, ms\N{NO-BREAK SPACE}↓",
        "p95, ms\N{NO-BREAK SPACE}↓",
        "sequences/s\N{NO-BREAK SPACE}↑",
    ]
    return Table(
        header,
        rows,
        "Median and 95th percentile of the time of one batch; sequences/s by the median.",
        folded="All times",
    )


def experts_table(found: Inference) -> Table:
    """The time with more experts over that with one."""
    counts = sorted(
        {
            count
            for by in found.times["cost_of_experts"].values()
            for of in by.values()
            if isinstance(of["experts"], Mapping)
            for count in of["experts"]
        },
        key=int,
    )
    rows: list[list[Cell]] = []
    for point, by_backend in found.times["cost_of_experts"].items():
        for backend, of in by_backend.items():
            name = Cell(f"{label_of(point)}, {_backend(backend)}", remark=f"batch {of['batch']}")
            ratios = of["experts"]
            if isinstance(ratios, str):
                rows.append([name, _words(ratios), *[_NONE] * (len(counts) - 1)])
            else:
                rows.append([name, *(_number(ratios.get(count), lambda value: f"{value:.2f}") for count in counts)])
    note = str(found.times.get("note", "")).rstrip(".")
    caption = f"Median time over that of one expert. {note[:1].upper()}{note[1:]}{'.' if note else ''}".rstrip()
    return Table(["experts", *(counts or ["1"])], rows, caption)


def _backend(key: str) -> str:
    """A backend in words; a device's key ends in the data type, since it has several."""
    name = next((name for name in _BACKENDS if key.startswith(name)), key)
    return ", ".join(part for part in (_BACKENDS.get(name, name), key[len(name) :].strip("_")) if part)


def _drawn(found: Inference) -> list[Block]:
    """Latency and throughput over batch size; nothing where no time was taken."""
    if not any(_timings(found, "p50_ms")):
        return []
    return [
        Figures(
            [
                _picture(found, "p50_ms", "Time of one batch", "ms, median"),
                _picture(found, "sequences_per_second", "Throughput", "sequences/s"),
            ],
            "Trained models on this machine, both axes logarithmic. Full lines: PyTorch as it is; dashed: compiled, or "
            "on a device.",
        )
    ]


def _picture(found: Inference, column: str, title: str, axis: str) -> Picture:
    return draw_timings(title, axis, _timings(found, column))


def _timings(found: Inference, column: str) -> list[Timing]:
    timings = []
    for rank, point in enumerate(found.points):
        for backend in found.backends:
            of = [row for row in found.rows(point, backend) if is_number(row[column])]
            of = [row for row in of if row["dtype"] == of[0]["dtype"]]
            if of:
                label = f"{label_of(point)}, {_backend(backend)}".replace(", PyTorch, ", ", ")
                sizes, values = [int(row["batch"]) for row in of], [float(row[column]) for row in of]
                timings.append(Timing(label, rank, backend == "pytorch_eager", sizes, values))
    return timings


def _fastest(found: Inference, point: str) -> str:
    """The lowest latency of one sequence, and the highest throughput, of a point."""
    rows = [row for backend in found.backends for row in found.rows(point, backend) if is_number(row["p50_ms"])]
    if not rows:
        return ""
    single = [row for row in rows if int(row["batch"]) == 1]
    best = max(rows, key=lambda row: float(row["sequences_per_second"]))
    said = []
    if single:
        first = min(single, key=lambda row: float(row["p50_ms"]))
        said.append(
            f"one sequence in {shown(float(first['p50_ms']))} ms ({_BACKENDS.get(first['backend'], first['backend'])})"
        )
    said.append(
        f"{amount(float(best['sequences_per_second']))} sequences/s in batches of {best['batch']} "
        f"({_BACKENDS.get(best['backend'], best['backend'])})"
    )
    return f"{label_of(point)}: {joined(said)}."


def _agreement(result: Any) -> Sequence[Cell]:
    if isinstance(result, str):
        return [_words(result), _NONE, _NONE, _NONE]
    met = bool(result["met"])
    return [
        _number(result["pcc_outputs"], lambda value: f"{value:.5f}", met),
        _number(result["pcc_router"], lambda value: f"{value:.5f}"),
        Cell(f"≥ {result['target_pcc']:g}"),
        _number(result["mse_change"], lambda value: signed(value, 6)),
    ]


def _number(value: Any, written: Any, best: bool = False) -> Cell:
    """A number as `written`; a text that stands in its place, as it is; nothing where there is neither."""
    if isinstance(value, str):
        return _words(value)
    return _NONE if value is None else Cell(written(float(value)), best=best)


def _words(text: str) -> Cell:
    """What stands in the place of a number: that it was not measured, and why."""
    bare, reason = text, ""
    if text.startswith(NOT_MEASURED):
        bare, reason = NOT_MEASURED.removesuffix(": "), text.removeprefix(NOT_MEASURED)
    return Cell(bare, quiet=True, remark=reason, words=True)


def _said(value: Any) -> Cell:
    if isinstance(value, str):
        return _words(value)
    return _NONE if value is None else Cell("reached" if value else "not reached", quiet=not value)


def _card(of: Mapping[str, Any]) -> str:
    peaks = ", ".join(f"{value:g} TFLOPS in {dtype}" for dtype, value in of["peak_tflops"].items())
    note = f" {str(of['note']).rstrip('.')}." if of.get("note") else ""
    return f"{of['bandwidth_gb_per_second']:g} GB/s, {peaks}. Source: {str(of['source']).rstrip('.')}.{note}"
