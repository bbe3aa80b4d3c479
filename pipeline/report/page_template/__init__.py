"""The page around the chapters, and RESULTS.md; an edit here does not rerender any chapter."""
