"""A naive script for comparison: everything in memory, with scanpy, one parquet column per gene.

    python benchmarks/obvious_preprocess.py cells.h5ad out.parquet

What `python -m pipeline.stage cfm_vc.preprocess` is measured against (benchmarks.preprocess --compare).
"""

import sys

import scanpy as sc

adata = sc.read_h5ad(sys.argv[1])
sc.pp.filter_cells(adata, min_counts=200)
sc.pp.filter_cells(adata, min_genes=100)
sc.pp.filter_genes(adata, min_cells=10)
sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=2000)
adata = adata[:, adata.var["highly_variable"]].copy()
table = adata.to_df()
for column in ("perturbation", "cell_type", "batch"):
    table[column] = adata.obs[column]
table.to_parquet(sys.argv[2])
