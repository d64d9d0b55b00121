"""ON WHAT the platform is put."""
