"""The one resident process: it watches, and answers instances' calls."""
