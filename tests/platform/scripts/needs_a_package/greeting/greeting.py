"""A package of the user's own."""

WORDS = "안녕"
