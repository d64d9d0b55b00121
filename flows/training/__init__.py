"""Trainings: what a person asks, how it is checked and recorded, and the run that carries it out."""
