"""What every instance of an attempt does, from its folders to its last upload. Free of Prefect."""
