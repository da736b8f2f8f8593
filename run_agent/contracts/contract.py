"""What a contract is, and the table of those of today's verbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from run_agent.contracts.messages import COPIED_LINE, JSONL_LINE, MESSAGE, POST, POST_ANYWHERE
from run_agent.contracts.requests import KEY, SEEN
from run_agent.contracts.words import DIALECT, TEXT, Schema, about, list_of, record

Effect = Literal["read", "write", "destroy"]


@dataclass(frozen=True)
class Contract:
    """What a verb takes and gives as JSON.

    ``verb`` is its name without ``run-agent``, ``effect`` the most that any of its options does.
    ``takes`` and ``gives`` map an option, or the method and path of a request, to the schema of one
    JSON value.
    """

    verb: str
    effect: Effect
    about: str
    takes: Mapping[str, Schema] = field(default_factory=dict)
    gives: Mapping[str, Schema] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The contract as JSON; each schema in it is complete and names its dialect."""
        schemas = {
            name: {option: {"$schema": DIALECT, **schema} for option, schema in direction.items()}
            for name, direction in (("input", self.takes), ("output", self.gives))
        }
        return {"verb": self.verb, "effect": self.effect, "about": self.about, **schemas}


_NULL: Schema = {"type": "null"}
_CHOSEN = record("value rule", value=TEXT, rule=about("Which rule chose it.", TEXT))
_BUS = {"oneOf": [_CHOSEN, record("refused", refused=about("Why it is refused.", TEXT)), _NULL]}
_NAME = {"oneOf": [_CHOSEN, _NULL]}
_FOUND = record("bus", bus=about("The path of the bus.", TEXT)) | {
    "examples": [{"bus": "/home/olga/demo/MESSAGE-BUS.md"}]
}
_EXPLAINED = record(
    "post read project_id task_id run_id", post=_BUS, read=_BUS, project_id=_NAME, task_id=_NAME, run_id=_NAME
) | {"description": "With --explain: what post and read would use here."}
_FINDING = record(
    "code level path line offset msg_id text",
    code=about("A stable code (docs/checks.md).", TEXT),
    level={"enum": ["finding", "information"]},
    path=TEXT,
    line=about("Counted from 1; 0 for a whole file.", {"type": "integer", "minimum": 0}),
    offset=about("Bytes.", {"type": "integer", "minimum": 0}),
    msg_id=TEXT,
    text=TEXT,
)
_REPAIRED = record(
    "mended broken done",
    mended=about("The file that --fix wrote anew.", TEXT),
    broken=about("The original, kept beside it; empty if there is none.", TEXT),
    done=list_of(TEXT),
)
_CONTRACT = record(
    "verb effect about input output",
    verb=TEXT,
    effect={"enum": ["read", "write", "destroy"]},
    about=TEXT,
    input={"type": "object", "additionalProperties": {"type": "object"}},
    output={"type": "object", "additionalProperties": {"type": "object"}},
)
_REQUESTS = {
    "POST /api/v1/messages": POST_ANYWHERE,
    "POST /api/projects/{project_id}/messages": POST,
    "POST /api/projects/{project_id}/tasks/{task_id}/messages": POST,
    "POST /api/v1/unread": SEEN,
    "POST /api/v1/session": KEY,
}

CONTRACTS = {
    contract.verb: contract
    for contract in (
        Contract(
            "bus post", "write", "Store a message, or one for each JSON line.",
            takes={"--jsonl": JSONL_LINE, "--jsonl --copy": COPIED_LINE}, gives={"--json": MESSAGE},
        ),
        Contract("bus read", "read", "Show messages, and follow.", gives={"--json": MESSAGE}),
        Contract(
            "bus discover", "read", "Find the bus of this directory.",
            gives={"--json": _FOUND, "--explain --json": _EXPLAINED},
        ),
        Contract(
            "bus check", "write", "Find damage in a bus, and repair it.",
            gives={"--json": _FINDING, "--fix --json": {"oneOf": [_FINDING, _REPAIRED]}},
        ),
        Contract("bus merge", "write", "Merge two versions of a bus, for git."),
        Contract("serve", "write", "Serve the buses of a root; /openapi.json describes its answers.", takes=_REQUESTS),
        Contract("schema", "read", "Show what a verb takes and gives as JSON.", gives={"--json": _CONTRACT}),
        Contract("completion", "read", "Print a shell completion script."),
    )
}  # fmt: skip
