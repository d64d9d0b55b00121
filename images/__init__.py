"""WHERE users' code runs: a Dockerfile and locked requirements each; imports neither flows nor blocks."""
