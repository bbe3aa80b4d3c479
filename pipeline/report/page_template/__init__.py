"""The whole page and RESULTS.md, joined from chapters that are drawn apart: an edit here draws none of them again."""
