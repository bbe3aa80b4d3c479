"""Forecasts of linear experts on other hardware: programs over few operations, and what executes them.

What the environment of TTNN imports is written for Python 3.10 and uses torch, numpy, safetensors and ttnn only.
"""
