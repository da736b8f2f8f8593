"""``run-agent completion``: the script that lets a shell complete verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import FishComplete, get_completion_class

from run_agent.cli import output


class _Fish(FishComplete):
    """Click's class, fixed: it splits a line at every comma, and so cuts a description that has one."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


@click.command(short_help="Print a shell completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that lets your shell complete the verbs, options, types, projects and tasks of run-agent.

    \b
    Examples:
      run-agent completion bash > ~/.local/share/bash-completion/completions/run-agent
      run-agent completion zsh > ~/.zfunc/_run-agent
      run-agent completion fish > ~/.config/fish/completions/run-agent.fish
    """
    script = _Fish if shell == "fish" else get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"This version of click has no completion for {shell}: install a newer one.")
    output.line(script(ctx.find_root().command, {}, "run-agent", "_RUN_AGENT_COMPLETE").source())
