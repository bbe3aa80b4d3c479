"""Simulated and shipped data sets, so that the default run needs no network."""
