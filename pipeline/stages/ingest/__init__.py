"""Validate the source and bring it to data/raw/<kind>: one module per data set kind."""
