"""The bridge between dvc.yaml and Snakemake: the only code that touches DVC's index API."""
