"""Cells in formats other than AnnData: their names, and a one-line conversion for each."""

from pathlib import Path

from pipeline.core.errors import ExpectedError
from pipeline.data.container import Node
from pipeline.data.file_kind import Kind, unpacking

# Name, what its root holds, and the line that writes the same as .h5ad.
_CONTAINERS = (
    ("MuData", {"mod"}, 'python -c "import mudata; mudata.read_h5mu({old!r})[{modality!r}].write_h5ad({new!r})"'),
    (
        "loom",
        {"matrix", "row_attrs", "col_attrs"},
        'python -c "import anndata; anndata.io.read_loom({old!r}).write_h5ad({new!r})"',
    ),
    ("10x HDF5", {"matrix"}, 'python -c "import scanpy; scanpy.read_10x_h5({old!r}).write_h5ad({new!r})"'),
    ("h5Seurat", {"assays", "cell.names"}, 'Rscript -e \'SeuratDisk::Convert("{old}", dest = "h5ad")\''),
)


def check_is_anndata(root: Node) -> None:
    """ExpectedError where an open file is another container, or from an anndata before 0.7."""
    held = set(root.held())
    if not {"obs", "var"} <= held or "mod" in held:
        raise _another(root, held)
    if not all(root[name].is_group for name in ("obs", "var")):
        raise ExpectedError(
            f"{root.path} was written by an anndata before 0.7: read it with anndata.read_h5ad and write it again"
        )


def not_anndata(path: Path, kind: Kind) -> ExpectedError:
    """The error for a path that is neither HDF5 nor a zarr store."""
    if kind == "folder":
        return ExpectedError(f"{path} is a folder and no zarr store: expected an .h5ad file or a zarr store")
    command = unpacking(path, kind)
    if command:
        return ExpectedError(f"{path} is packed ({kind}): unpack it with {command}, and name what comes out")
    return ExpectedError(f"{path} is not an HDF5 file: expected an AnnData on disk (.h5ad, or a zarr store)")


def _another(root: Node, held: set[str]) -> ExpectedError:
    legacy_10x = any({"barcodes", "gene_names"} <= set(root[name].held()) for name in held)
    for name, groups, command in _CONTAINERS:
        if groups <= held or (name == "10x HDF5" and legacy_10x):
            modalities = root["mod"].held() if "mod" in held else [""]
            line = command.format(old=str(root.path), new=str(root.path.with_suffix(".h5ad")), modality=modalities[0])
            several = f" for one of its modalities, {', '.join(modalities)}" if len(modalities) > 1 else ""
            return ExpectedError(f"{root.path} is {name}, not AnnData: convert it{several} with {line}")
    return ExpectedError(
        f"{root.path} is no AnnData: found {', '.join(sorted(held)) or 'nothing'}; expected obs and var beside the "
        "counts, as anndata's write_h5ad writes them"
    )
