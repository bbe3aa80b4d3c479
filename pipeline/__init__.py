"""Celldag: one reproducible pipeline for generative models of cells and mixtures of experts."""

__version__ = "0.1.0"
