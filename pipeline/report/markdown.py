"""Tables as Markdown, for RESULTS.md."""

from collections.abc import Sequence

from pipeline.report.page import Cell, Table


def markdown(table: Table) -> str:
    """A table in GitHub's Markdown with its caption; best scores are bold."""
    aligned = ["---", *(["--:" if table.numeric else "---"] * (len(table.header) - 1))]
    rows = [
        _line([_text(cell) for cell in row] + [""] * (len(table.header) - len(row)), group=len(row) == 1)
        for row in table.rows
    ]
    caption = table.caption.replace("▸ and bold mark", "bold marks")
    return "\n".join([_line(list(map(_escaped, table.header))), _line(aligned), *rows]) + f"\n\n{caption}"


def _text(cell: Cell) -> str:
    text = f"**{_escaped(cell.text)}**" if cell.best else _escaped(cell.text)
    if not cell.remark:
        return text
    remark = _escaped(cell.remark)
    return f"{text} {remark}" if remark.startswith("±") else f"{text} ({remark})"


def _line(cells: Sequence[str], group: bool = False) -> str:
    return "| " + " | ".join(f"*{cell}*" if group and cell else cell for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Escapes characters that start a column, a tag or an emphasis."""
    plain = " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())
    for letter in "\\|<>*_`[]":
        plain = plain.replace(letter, f"\\{letter}")
    return plain
