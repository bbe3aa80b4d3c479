"""Matplotlib figures from metrics, curves and predictions."""
