"""The section on quality control: effects of filtering, and cells per group."""

from collections.abc import Mapping
from itertools import product
from typing import Any

from pipeline.cfm_vc.plots.quality import draw_histogram
from pipeline.cfm_vc.report.results import Trained
from pipeline.report.page import Block, Cell, Figures, Section, Table

# histogram in the quality file -> title, unit, parameter of its threshold
_HISTOGRAMS = {
    "counts_per_cell": ("Counts per cell", "counts", "min_counts_per_cell"),
    "genes_per_cell": ("Genes per cell", "genes", "min_genes_per_cell"),
}


def quality(found: Trained) -> Section:
    """Cells are filtered before a fold is made of them, so histograms and numbers of cells are those of every fold."""
    content = found.quality
    thresholds = content.get("thresholds", {})
    pictures = [
        draw_histogram(title, unit, histogram["edges"], histogram["before"], histogram["after"], thresholds.get(key))
        for name, (title, unit, key) in _HISTOGRAMS.items()
        for histogram in [content["histograms"][name]]
    ]
    before, after = (sum(group[when] for group in content["groups"]) for when in ("before", "after"))
    same = ", the same in every fold" if len(found.folds) > 1 else ""
    lead = f"Filtering kept {after:,} of {before:,} cells{same}."
    blocks: list[Block] = [
        Figures(pictures, "Cells before (outline) and after (filled) filtering."),
        _group_table(found),
    ]
    return Section("Quality control", "quality", lead, blocks)


def _group_table(found: Trained) -> Table:
    """Cells by cell type (rows) and perturbation (columns, control first), kept and before filtering."""
    groups = {(group["cell_type"], group["perturbation"]): group for group in found.quality["groups"]}
    control = found.dataset["control"]
    held_out = {group for of_fold in found.held_out.values() for group in of_fold}
    cell_types = sorted({cell_type for cell_type, _ in groups})
    perturbations = sorted({perturbation for _, perturbation in groups}, key=lambda name: (name != control, name))
    largest = max(group["after"] for group in groups.values()) or 1
    rows = [
        [
            Cell(cell_type),
            *(_group_cell(groups.get(key), largest, key in held_out) for key in product([cell_type], perturbations)),
        ]
        for cell_type in cell_types
    ]
    excluded = "Held-out groups were excluded from training." if held_out else ""
    if len(found.folds) > 1:
        excluded = f"Held-out groups were excluded in turn, each from the training of one of {len(found.folds)} folds."
    caption = f"Cells per group after filtering, and before if different. {excluded}".rstrip()
    return Table(["cell type", *perturbations], rows, caption)


def _group_cell(group: Mapping[str, Any] | None, largest: int, held_out: bool) -> Cell:
    if group is None:
        return Cell("none")
    remarks = []
    if group["before"] != group["after"]:
        remarks.append(f"of {group['before']:,}")
    if held_out:
        remarks.append("held out")
    return Cell(f"{group['after']:,}", tint=0.35 * group["after"] / largest, remark=", ".join(remarks))
