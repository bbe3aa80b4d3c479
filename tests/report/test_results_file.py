"""The Markdown of tables: any label is itself, the best is bold, every row has all columns."""

from pipeline.report.markdown import markdown
from pipeline.report.page import Cell, Table


def test_a_table_as_markdown():
    rows = [
        [Cell("a group")],
        [Cell("a|b"), Cell("0.9", best=True, remark="± 0.1")],
        [Cell("<i>_x_*"), Cell("1 k", remark="of 2 k")],
    ]
    assert markdown(Table(["name", "score\N{NO-BREAK SPACE}↑"], rows, "▸ and bold mark the best.")) == (
        "| name | score ↑ |\n"
        "| --- | --: |\n"
        "| *a group* |  |\n"
        "| a\\|b | **0.9** ± 0.1 |\n"
        "| \\<i\\>\\_x\\_\\* | 1 k (of 2 k) |\n"
        "\n"
        "bold marks the best."
    )


def test_a_table_of_text_is_not_aligned_to_the_right():
    assert "| --- | --- |" in markdown(Table(["a", "b"], [[Cell("x"), Cell("y")]], "", numeric=False))
