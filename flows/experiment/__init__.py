"""Experiments: groups of trainings, each with an MLflow experiment behind it."""
