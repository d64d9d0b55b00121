"""What ends, seen from outside: submitted to a Prefect work pool, observed and ended on its engine."""
