"""Models and their losses; nothing here reads a file."""
