"""WHAT happens: one room a lifecycle."""
