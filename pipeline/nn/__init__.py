"""Reusable layers and distributions; nothing here reads a file."""
