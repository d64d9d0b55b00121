"""Why an attempt ended, and what follows: pure judgements, and where they meet the records."""
