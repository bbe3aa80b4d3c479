"""Held-out data against models and baselines: one module per question asked."""
