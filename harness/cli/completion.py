"""`harness completion`: the shell's part of completing a command line."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_HARNESS_COMPLETE"  # in which click's scripts ask `harness` what may follow


@click.command(
    epilog="""\b
Examples:
  echo 'eval "$(harness completion bash)"' >> ~/.bashrc
  echo 'eval "$(harness completion zsh)"' >> ~/.zshrc
  harness completion fish > ~/.config/fish/completions/harness.fish"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script by which SHELL completes verbs, options, and the names of grids, sweeps and reports."""
    from harness.cli import group

    completion = get_completion_class(shell)
    assert completion is not None  # of these three
    print(completion(group, {}, "harness", VARIABLE).source())
