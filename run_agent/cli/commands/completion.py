"""``run-agent completion``: the script that makes a shell complete verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import FishComplete, get_completion_class

from run_agent.cli import output


class _Fish(FishComplete):
    """Click's, which took what follows a comma in a description for something else."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


@click.command(short_help="Print a shell completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes run-agent's verbs, options, types, projects and tasks in your shell.

    \b
    Examples:
      run-agent completion bash > ~/.local/share/bash-completion/completions/run-agent
      run-agent completion zsh > ~/.zfunc/_run-agent
      run-agent completion fish > ~/.config/fish/completions/run-agent.fish
    """
    script = _Fish if shell == "fish" else get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"No completion for {shell} in this version of click.")
    output.line(script(ctx.find_root().command, {}, "run-agent", "_RUN_AGENT_COMPLETE").source())
