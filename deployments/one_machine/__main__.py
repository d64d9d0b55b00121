"""`python -m deployments.one_machine up|down|status`: the commands without the rest of `emf`."""

import typer

from deployments.one_machine.commands import register

if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    register(app)
    app()
