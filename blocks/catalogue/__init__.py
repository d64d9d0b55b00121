"""Which images and instance types there are: two YAML files that the operator edits, checked when they are read."""
