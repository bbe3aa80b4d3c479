"""Rules over the covariates of perturbation data: can effects be learned from these cells, and evaluated?"""

from collections.abc import Mapping

from pipeline.core.wording import close_to, counted, listed
from pipeline.data.columns import Column
from pipeline.data.confounding import contingency, cramers_v, fully_confounded, suggest_pattern
from pipeline.data.source import Findings, Source

HIGH_ASSOCIATION = 0.5  # Cramér's V of batch and perturbation from which a note is made


def control_occurs(source: Source, columns: Mapping[str, Column], findings: Findings) -> None:
    """The control label is one of the perturbations, and not the only one."""
    labels = columns["perturbation"].labels
    where = source.column("perturbation")
    if not labels:
        return  # all values missing or unmatched: reported with the column
    if source.control not in labels:
        fix = f"set {source.key('control')} to the label of the unperturbed cells"
        expected = f"the control label {source.control!r} among them"
        findings.problem(where, f"the labels {listed(labels)}", expected, fix + close_to(source.control, labels))
    if len(labels) < 2:
        expected = "at least 2 labels, a control and a perturbation"
        fix = f"point {source.key('columns.perturbation')} at the column that tells treated from untreated cells"
        findings.problem(where, f"the one label {labels[0]!r}", expected, fix)


def groups_have_cells(source: Source, columns: Mapping[str, Column], findings: Findings) -> None:
    """No (cell type, perturbation) group is a single cell; each cell type has controls."""
    perturbations, cell_types = columns["perturbation"], columns["cell_type"]
    table = contingency(cell_types.codes, perturbations.codes, (len(cell_types.labels), len(perturbations.labels)))
    lone = [f"{cell_types.labels[t]} / {perturbations.labels[p]}" for t, p in zip(*(table == 1).nonzero(), strict=True)]
    if lone:
        findings.problem(
            "cells per (cell type, perturbation) group",
            f"{counted(len(lone), 'group')} with one cell ({listed(lone, 5)})",
            "at least 2 cells in each, many more to learn from",
            "drop these cells from the file, or merge rare labels into broader ones",
        )
    if source.control in perturbations.labels:
        controls = table[:, perturbations.labels.index(source.control)]
        without = [label for label, cells in zip(cell_types.labels, controls, strict=True) if not cells]
        if without:
            findings.notes.append(f"no control cells for {listed(without)}: no effect can be measured there")


def batch_is_not_perturbation(source: Source, columns: Mapping[str, Column], findings: Findings) -> None:
    """Batches and perturbations are crossed: full confounding is a problem, strong association a note."""
    perturbations, batches = columns["perturbation"], columns["batch"]
    table = contingency(batches.codes, perturbations.codes, (len(batches.labels), len(perturbations.labels)))
    if fully_confounded(table):
        column = source.columns.get("batch")  # None: each file is a batch
        example = ", ".join(
            f"{batch} has {perturbations.labels[int(row.argmax())]}"
            for batch, row in zip(batches.labels[:3], table[:3], strict=True)
        )
        fix = f"set {source.key('columns.batch')} to a column whose batches hold several perturbations each"
        if column is None:
            fix += ", or to one with the same label in all cells, if all were processed together"
        elif column.pattern is None and (suggestion := suggest_pattern(batches.labels, table)):
            fix += (
                f"; if the batch is the donor hidden in the name, use {{column: {column.column}, "
                f'pattern: "{_yaml_quoted(suggestion.pattern)}"}}, which gives {listed(suggestion.labels)}'
            )
        findings.problem(
            source.column("batch") if column is not None else "files as batches",
            f"batches confounded with the perturbation: each batch contains one perturbation only ({example})",
            "several perturbations in a batch, or else effects of batch and perturbation cannot be told apart",
            fix,
        )
        return
    association = cramers_v(table)
    if association >= HIGH_ASSOCIATION:
        findings.notes.append(
            f"batch and perturbation are strongly associated (Cramér's V {association:.2f}): "
            "part of an effect may be the batch's"
        )
    if source.control in perturbations.labels and len(batches.labels) > 1:
        controls = table[:, perturbations.labels.index(source.control)]
        without = [label for label, cells in zip(batches.labels, controls, strict=True) if not cells]
        if without:
            findings.notes.append(f"no control cells in batch {listed(without)}")


def _yaml_quoted(pattern: str) -> str:
    return pattern.replace("\\", "\\\\").replace('"', '\\"')
