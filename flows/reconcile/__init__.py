"""Records against the world: what differs, and how it is put right."""
