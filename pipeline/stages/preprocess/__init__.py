"""data/raw/<kind> to a sharded parquet store: one module per data set kind."""
