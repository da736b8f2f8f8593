"""``run-agent schema``: what a verb takes and gives as JSON."""

from __future__ import annotations

import click

from run_agent.cli import output


@click.command(short_help="Show what a verb takes and gives as JSON.")
@click.argument("verb", nargs=-1, metavar="[VERB]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per verb.")
def schema(verb: tuple[str, ...], as_json: bool) -> None:
    """List the verbs and what each does to a bus (read, write, destroy), or show the contract of one.

    A contract holds JSON Schemas (draft 2020-12): under 'input' of each JSON value that the verb
    takes, under 'output' of each that it prints, by the option or the request that asks for it.

    \b
    Examples:
      run-agent schema
      run-agent schema bus post
      run-agent schema bus read --json | jq '.output["--json"]'
    """
    from run_agent.contracts.contract import CONTRACTS  # imported here: 'run-agent --help' imports every verb

    name = " ".join(verb)
    if name and name not in CONTRACTS:
        raise click.UsageError(f"No such verb {name!r:.80}: it must be one of {', '.join(CONTRACTS)}.")
    contracts = [CONTRACTS[name]] if name else list(CONTRACTS.values())
    for contract in contracts:
        if as_json:
            output.json_line(contract.to_json())
        elif name:
            import json

            output.line(json.dumps(contract.to_json(), indent=2))
        else:
            output.line(f"{contract.verb:<14}{contract.effect:<9}{contract.about}")
