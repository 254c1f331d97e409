"""`completion`: the script with which a shell completes commands, options and batches."""

from __future__ import annotations

import os

import click
from click.shell_completion import get_completion_class

from ..errors import UsageError
from . import output

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", required=False, type=click.Choice(SHELLS), metavar="[bash|zsh|fish]")
def completion(shell: str | None) -> int:
    """Print a script that completes commands, options and batches in your shell.

    Without an argument it is for the shell that SHELL names. Put the line of
    your shell into its start-up file.

    \b
    Examples:
      eval "$(paraschut completion bash)"      # in ~/.bashrc
      eval "$(paraschut completion zsh)"       # in ~/.zshrc
      paraschut completion fish | source       # in ~/.config/fish/config.fish
    """
    from .group import paraschut

    name = shell or os.path.basename(os.environ.get("SHELL", ""))
    found = get_completion_class(name)
    if name not in SHELLS or found is None:
        raise UsageError(f"Which shell? Give one of: {', '.join(SHELLS)}.")
    output.line(found(paraschut, {}, "paraschut", "_PARASCHUT_COMPLETE").source())
    return 0


COMMANDS = {"completion": completion}
