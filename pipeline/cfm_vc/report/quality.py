"""The section on quality control: effects of filtering, and cells per group."""

from collections.abc import Mapping
from typing import Any

from pipeline.cfm_vc.plots.quality import draw_histogram
from pipeline.report.page import Block, Cell, Figures, Section, Table

# histogram in the quality file -> title, unit, parameter of its threshold
_HISTOGRAMS = {
    "counts_per_cell": ("Counts per cell", "counts", "min_counts_per_cell"),
    "genes_per_cell": ("Genes per cell", "genes", "min_genes_per_cell"),
}


def quality(content: Mapping[str, Any], control: str) -> Section:
    """`content` is reports/cfm_vc/quality.json; `control` is the label of unperturbed cells."""
    thresholds = content.get("thresholds", {})
    pictures = [
        draw_histogram(title, unit, histogram["edges"], histogram["before"], histogram["after"], thresholds.get(key))
        for name, (title, unit, key) in _HISTOGRAMS.items()
        for histogram in [content["histograms"][name]]
    ]
    before, after = (sum(group[when] for group in content["groups"]) for when in ("before", "after"))
    lead = f"Filtering kept {after:,} of {before:,} cells."
    blocks: list[Block] = [
        Figures(pictures, "Cells before (outline) and after (filled) filtering."),
        _group_table(content, control),
    ]
    return Section("Quality control", "quality", lead, blocks)


def _group_table(content: Mapping[str, Any], control: str) -> Table:
    """Cells by cell type (rows) and perturbation (columns, control first), kept and before filtering."""
    groups = {(group["cell_type"], group["perturbation"]): group for group in content["groups"]}
    cell_types = sorted({cell_type for cell_type, _ in groups})
    perturbations = sorted({perturbation for _, perturbation in groups}, key=lambda name: (name != control, name))
    largest = max(group["after"] for group in groups.values()) or 1
    rows = [
        [
            Cell(cell_type),
            *(_group_cell(groups.get((cell_type, perturbation)), largest) for perturbation in perturbations),
        ]
        for cell_type in cell_types
    ]
    caption = "Cells per group after filtering, and before if different. Held-out groups were excluded from training."
    return Table(["cell type", *perturbations], rows, caption)


def _group_cell(group: Mapping[str, Any] | None, largest: int) -> Cell:
    if group is None:
        return Cell("none")
    remarks = []
    if group["before"] != group["after"]:
        remarks.append(f"of {group['before']:,}")
    if group["split"] == "test":
        remarks.append("held out")
    return Cell(f"{group['after']:,}", tint=0.35 * group["after"] / largest, remark=", ".join(remarks))
