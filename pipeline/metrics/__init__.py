"""Metrics as pure functions, each with its exact definition."""
