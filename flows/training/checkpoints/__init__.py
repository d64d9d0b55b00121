"""Checkpoints: taken as a whole, committed, verified, kept, and salvaged from the dead."""
