"""The states of runs in Prefect's words, for all who judge by them and need not know Prefect."""

OVER = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
CANCELLED = frozenset({"CANCELLING", "CANCELLED"})
"""A person cancelled a run in one of these: the platform itself leaves none so that is to be tried again."""
