"""The results as Markdown, for readers of the repository: the same tables and sentences as the page's."""

from collections.abc import Sequence

from pipeline.report.forecasting_inputs import Forecasting
from pipeline.report.forecasting_tables import main_table as forecast_table
from pipeline.report.forecasting_verdict import answer_of as forecast_answer
from pipeline.report.forecasting_verdict import sentences
from pipeline.report.forecasting_verdict import verdict as forecast_verdict
from pipeline.report.inputs import PerturbationResults
from pipeline.report.moe_inputs import Moe
from pipeline.report.moe_tables import differences_table, main_table
from pipeline.report.moe_verdict import answer, verdict
from pipeline.report.page import Cell, Headline, Table
from pipeline.report.perturbation_verdict import answer_of as answer_of_perturbation
from pipeline.report.perturbation_verdict import lead as lead_of_perturbation
from pipeline.report.scoreboard import Scoreboard
from pipeline.report.scores import decimals_for, shown
from pipeline.report.spatial_inputs import Spatial
from pipeline.report.spatial_left_out import in_words as parts_in_words
from pipeline.report.spatial_left_out import tables_of
from pipeline.report.spatial_names import MODES
from pipeline.report.spatial_tables import main_table as tissue_table
from pipeline.report.spatial_verdict import answer_of, counts, lead
from pipeline.report.specialisation import in_words
from pipeline.report.ttnn import agreement_in_words, agreement_table, roofline_table
from pipeline.report.ttnn_inputs import Inference


def results_markdown(
    first: Headline,
    perturbation: PerturbationResults,
    moe: Moe,
    spatial: Spatial,
    series: Forecasting,
    times: Inference,
) -> str:
    """The whole file; the same results give the same text, on whichever machine: no time is in it."""
    parts = [
        "# Results",
        "Written by the `report` stage from the results of all others. The page `reports/report.html` has the figures.",
        f"**{first.simulated}**",
        markdown(_systems(first)),
        "## Perturbations",
        f"**{answer_of_perturbation(perturbation)}** {lead_of_perturbation(perturbation)}",
        markdown(_scores(perturbation.board)),
        "## Mixture of experts",
        f"**{answer(moe)}** {verdict(moe)}",
        markdown(main_table(moe)),
        markdown(differences_table(moe, folded=False)),
        *_tissue(spatial),
        *_forecasting(series),
        *_inference(times),
    ]
    return "\n\n".join(parts).replace("\N{NO-BREAK SPACE}", " ") + "\n"


def _systems(first: Headline) -> Table:
    """The first screen as a table: a row per decisive number."""
    rows = []
    for system in first.systems:
        for place, number in enumerate(system.numbers):
            named = [system.name, system.question, system.answer] if place == 0 else ["", "", ""]
            cells = [number.label, f"{number.ours} ({system.model})", f"{number.rival} ({system.rival})"]
            rows.append([Cell(text) for text in (*named, *cells)])
    header = ["system", "question", "answer", "decisive score", "ours", "to beat"]
    caption = " ".join(system.elsewhere for system in first.systems if system.elsewhere)
    return Table(header, rows, caption, numeric=False)


def _forecasting(series: Forecasting) -> list[str]:
    """The simulated series, what the experts are for, and the measured one."""
    about, board = series.measured.about, series.measured.board
    return [
        "## Forecasting",
        f"**{forecast_answer(series.board)}** {forecast_verdict(series)}",
        markdown(forecast_table(series.board)),
        in_words(series),
        f"### {about['title'].rstrip('.')}",
        f"**{forecast_answer(board)}** {about['description'].rstrip('.')}. {sentences(board)}",
        f"Made by `{about['command']}`.",
        markdown(forecast_table(board)),
    ]


def _inference(times: Inference) -> list[str]:
    """What does not depend on the machine: agreement, and the estimate."""
    return [
        "### On Tenstorrent hardware",
        agreement_in_words(times),
        markdown(agreement_table(times)),
        "Estimated, not measured:",
        markdown(roofline_table(times)),
    ]


def _tissue(spatial: Spatial) -> list[str]:
    """Both tasks on the pipeline's own tissue, then measured sections, each held out in turn."""
    parts = ["## Tissue", f"**{answer_of(spatial)}** {lead(spatial)}"]
    parts += [markdown(tissue_table(spatial.board, mode)) for mode in MODES]
    for found in spatial.measured:
        about = found.about["description"].rstrip(".")
        parts += [
            f"### {found.name}, one section left out",
            f"{about}: {counts(found)} {parts_in_words(found)}".rstrip(),
        ]
        parts += [markdown(table) for table in tables_of(found)]
    return parts


def markdown(table: Table) -> str:
    """A table in GitHub's Markdown, and its caption; the best of a column is bold."""
    aligned = ["---", *(["--:" if table.numeric else "---"] * (len(table.header) - 1))]
    rows = [
        _line([_text(cell) for cell in row] + [""] * (len(table.header) - len(row)), group=len(row) == 1)
        for row in table.rows
    ]
    caption = table.caption.replace("▸ and bold mark", "bold marks")
    return "\n".join([_line(list(map(_escaped, table.header))), _line(aligned), *rows]) + f"\n\n{caption}"


def _scores(board: Scoreboard) -> Table:
    """Means over the held-out groups: a row per method, a column per key metric."""
    metrics = board.key
    means = {metric: board.means(metric) for metric in metrics}
    decimals = {metric: decimals_for(list(means[metric].values())) for metric in metrics}
    rows = [
        [Cell(method.label), *(Cell(shown(means[metric][method], decimals[metric])) for metric in metrics)]
        for method in board.methods
    ]
    header = ["method", *(f"{metric.label} {metric.arrow}" for metric in metrics)]
    return Table(header, rows, f"Means over {len(board.groups)} held-out groups; the model stands first.")


def _text(cell: Cell) -> str:
    text = f"**{_escaped(cell.text)}**" if cell.best else _escaped(cell.text)
    if not cell.remark:
        return text
    remark = _escaped(cell.remark)
    return f"{text} {remark}" if remark.startswith("±") else f"{text} ({remark})"


def _line(cells: Sequence[str], group: bool = False) -> str:
    return "| " + " | ".join(f"*{cell}*" if group and cell else cell for cell in cells) + " |"


def _escaped(text: str) -> str:
    """No character of a label starts a column, a tag or an emphasis."""
    plain = " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())
    for letter in "\\|<>*_`[]":
        plain = plain.replace(letter, f"\\{letter}")
    return plain
