"""The MLflow mirror of what git and DVC version."""
