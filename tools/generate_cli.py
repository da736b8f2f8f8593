"""Write docs/cli.md: what is said here by hand, and the program's own help of every verb.

python tools/generate_cli.py           write it
python tools/generate_cli.py --check   exit code 1 if it is not what would be written
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from generated import write_or_check

from run_agent.cli.main import run_agent

PAGE = Path(__file__).parents[1] / "docs/cli.md"
COLUMNS = 100  # whatever the terminal has
MARK = "<!-- tried by tests/docs/test_help.py -->"

TEMPLATE = """\
<!-- Written by tools/generate_cli.py (`make docs`): change it there, or in the help of the verb. -->
# The program

<!-- not executed: the verbs; the reference below is tried -->
```
{verbs}
```

Results go to standard output; errors, and what may surprise, go to standard error in a sentence or
two that say what to do next. Every verb has `--help` with examples; [below](#reference) is all of it.

## Which bus

| `post` takes the first that is given | `read` takes the first that is given |
|---|---|
| `--bus FILE` | `--project ID`, `--task ID`: the bus in the tree under the root |
| `MESSAGE_BUS`, or `JRUN_MESSAGE_BUS` | `--bus FILE` (with `--project` or `--task`: a usage error) |
| `--project ID`, `--task ID`: the bus in the tree under the root | `MESSAGE_BUS`, or `JRUN_MESSAGE_BUS` |
| the first bus file upward from here | the first bus file upward from here |

For `post`, `--project` and `--task` are first of all fields of the message, and name a bus only
where nothing else does. `--task` without `--project` takes the project from `JRUN_PROJECT_ID`. So
where `MESSAGE_BUS` is set, `post` and `read` may choose two buses from the same flags. `post` then
says where the message goes, with a warning on standard error and exit code 0; it also warns where
`MESSAGE_BUS` names a bus for one project and the directory has the bus of another.

A bus that `read --bus` names must exist (exit code 3), unless `--follow` is to wait for it. One
that `MESSAGE_BUS`, or `--project`, names may be still to come: `read` says that it does not exist,
and the exit code is 0.

The tree under the root:

<!-- not executed: where the files are -->
```
<root>/<project>/PROJECT-MESSAGE-BUS.md
<root>/<project>/<task>/TASK-MESSAGE-BUS.md
```

The root is `--root`, else `JRUN_RUNS_DIR`, else `~/.run-agent/runs`. `post` makes the directories of a
project and task there; the directory of a bus named by `--bus` or `MESSAGE_BUS` must exist. An id that
is to be a directory must not be blank or `.`, nor hold `..`, a slash, a backslash or a control
character: exit code 6.

Upward: each directory from the current one to `/` is asked for `TASK-MESSAGE-BUS.md`, then
`PROJECT-MESSAGE-BUS.md`, then `MESSAGE-BUS.md`. Links, directories and devices do not count. A bus
that belongs to another user, in a directory that others may write to, is refused (exit code 6),
since anyone could have put it there: [security.md](security.md#a-bus-found-upward). So is the
search where a directory on the way may not be searched. If you trust such a bus, name it with
`--bus` or `MESSAGE_BUS`.

A `~` or `~user` at the beginning of a path, which shells leave alone in `--root=~/runs` and cron
and systemd everywhere, is the home directory in all options and variables that hold a path. Where
there is no such directory, the path is refused (exit code 6). `./~x` is a file of that name.

`run-agent bus discover --explain` shows what all this comes to where you are, and which rule said so.

## Which project, task and run

Each message has a project, and may have a task and a run. For each of the three, the first of these
that says something:

1. `--project`, `--task`, `--run`
2. the path of the bus: `<root>/<project>/<task>/TASK-MESSAGE-BUS.md`, `<root>/<project>/PROJECT-MESSAGE-BUS.md`
3. `RUN_FOLDER`, or `JRUN_RUN_FOLDER`: `<root>/<project>/<task>/runs/<run>`
4. `TASK_FOLDER`, or `JRUN_TASK_FOLDER`: `<root>/<project>/<task>`
5. `JRUN_PROJECT_ID`, `JRUN_TASK_ID`, `JRUN_ID`
6. for the project, the name of the directory of a `MESSAGE-BUS.md`, if it can be an id: so
   `touch MESSAGE-BUS.md` is all it takes to begin

A task that a path says (2 to 4) counts only where the project is that path's. Without a project a post
is a usage error.

## Environment

| variable | what it says |
|---|---|
| `MESSAGE_BUS`, `JRUN_MESSAGE_BUS` | the bus file |
| `HOME` | the home directory; where it is empty or not set, that of the user in the system's list |
| `JRUN_RUNS_DIR` | the root of all projects |
| `RUN_FOLDER`, `JRUN_RUN_FOLDER` | the directory of the run |
| `CREDENTIALS_DIRECTORY` | where systemd puts credentials: a key file there may show group bits |
| `RUN_AGENT_API_KEY` | the key that clients of `serve` must bring |
| `TASK_FOLDER`, `JRUN_TASK_FOLDER` | the directory of the task |
| `JRUN_PROJECT_ID`, `JRUN_TASK_ID`, `JRUN_ID` | project, task and run |
| `VISUAL`, `EDITOR` | the editor of `post --edit` |
| `NO_COLOR` | set to anything: no colour on a terminal (`TERM=dumb`: neither) |

A variable that is empty says nothing. The names with `JRUN_` are the Go runner's.

## Exit codes

| code | when |
|---|---|
| 0 | done; also when whoever read the output has gone, and a read that found an empty bus |
| 1 | it ran, and the answer is no: no message with that `--id`; `check` found damage; \
nothing written in the editor, or it failed; `serve` cannot listen, or lacks its extra |
| 2 | usage: an unknown verb or option, options that contradict each other, no text, no project |
| 3 | no bus found: nothing names one, and there is none upward from here; \
or that of `--bus` does not exist (`read`, `check`) |
| 4 | the id of `--since` is not on the bus (with `--follow` it is said, and all is shown) |
| 5 | lock timeout: other writers held the bus for all of `--lock-timeout`; nothing was written |
| 6 | refused: a message (with `--jsonl`: at least one), a path that cannot be a bus or be opened, \
a bus found upward that is not to be trusted, or no git work tree |
| 7 | no answer in time: for verbs that wait for one, of which this version has none |
| 70 | unexpected: a full disk, a flush that failed (the message says that it is stored), a bug |
| 130 | interrupted by Ctrl-C |

A signal that ends every program ends this one, too (SIGTERM: 143 in a shell), also as process 1 of
a container, where the system would ignore it; `serve` takes SIGTERM for a request to end in good
order (0). Where Ctrl-C is ignored, as in a background job of a script, it stays so.

## Standard streams

Each of the three may be a file, a pipe, a socket or a terminal, blocking or not, or closed. Every
byte of standard output arrives, or the exit code is 70 and a sentence says why. What standard error
cannot take is dropped, and changes neither what is done nor the exit code. The interpreter's
variables (`PYTHONUNBUFFERED`, `PYTHONWARNINGS` and the like) change nothing.

## What is printed

**`post`** prints `msg_id: MSG-...`; with `--quiet` the id alone; with `--json` the stored message, as
`read --json` would.

**`post --jsonl`** takes one JSON object a line, with the fields of a message ([SPEC.md](../SPEC.md#12-json))
but `msg_id` and `intact`, and perhaps `idempotency_key`; flags are the defaults of all lines. Lines are
stored as they arrive, those that have arrived together in one batch, and each id is printed at once. A bad
line is named by its number on standard error, the others go in, and the exit code is 6. A line is as strict
as a request to `serve`: UTF-8, no field twice, no `NaN`.

**`post --jsonl --copy`** takes lines of `read --json`, and so copies messages from one bus to
another. Each gets a new id; the rest stays, the time too. Parents keep the ids that they name. A
message that has an idempotency key keeps it, so that copying it again within 24 hours of its time
stores nothing. Of one that was torn or edited (`intact` is false) a warning says that its copy
counts as whole. Task and run of this place are not added; flags are.

**`--type`** is stored as it is given. Wherever types are compared, upper and lower case are the
same: in `read --type`, in the `type` of the server's requests, and for what an ISSUE or the end of
a run is.

**`read`** prints text:

<!-- tried by tests/docs/test_help.py -->
```
[2026-11-21 03:14:15] (FACT) The build is green
    again now.
[2026-11-21 03:14:16] (ERROR) (torn) this record lost its en
```

Times are UTC. A message starts in the first column and nothing else does: further lines of a body
are indented, and control characters are shown (`\\x1b`), not sent. So no body can imitate another
message or drive the terminal. On a terminal, long lines are wrapped with that indent, at its width
when they are shown (24 columns or more); it may break them anew when it is made narrower later, or
where it is set to show characters of ambiguous width as wide. Into a pipe, lines are as they are.
`(torn)`: the length of the text is not the one that was stored; a crash or an editor did that.
There is colour on a terminal only.

`--long` adds the other fields after the type, those that a message has:

<!-- tried by tests/docs/test_help.py -->
```
[2026-11-21 03:14:16] (ANSWER) <MSG-2 run-7 re MSG-1:answers task=t1 link=https://ci.example meta.branch=main> Yes.
```

These are the id, the run, each parent with its kind after `re`, then `task`, `issue`, each `link`
and each `meta` by name. A value that holds what separates fields is quoted, so that none imitates
another. What a link or a parent says besides is in `--json`.

**`read --json`** prints one JSON object a line, in the shape of [SPEC.md](../SPEC.md#12-json); `read --raw`
the records as they are stored, which together are a bus file again. Both are exact.

**`read --follow`** goes on with each new message within milliseconds, flushed, also into a pipe. It waits
for a bus that is not there yet, and goes through rotations without loss or repeat. Where the file system
has no events it looks twice a second. It ends on Ctrl-C (130), or when whoever reads its
output has gone (0): from a pipe or a socket, or with the terminal. Of a network connection it learns that only with
the next message.

## Completion

<!-- executed -->
```sh
mkdir -p ~/.local/share/bash-completion/completions ~/.zfunc ~/.config/fish/completions
run-agent completion bash > ~/.local/share/bash-completion/completions/run-agent
run-agent completion zsh > ~/.zfunc/_run-agent       # with fpath+=~/.zfunc before compinit in ~/.zshrc
run-agent completion fish > ~/.config/fish/completions/run-agent.fish
```

Shells started from then on complete verbs, options, the customary types, and the projects and tasks
under the root. Bash needs the package bash-completion; without it, put `eval "$(run-agent
completion bash)"` into `~/.bashrc`.

## Reference

{reference}
"""


def page() -> str:
    """What docs/cli.md should be."""
    reference = "\n\n".join(
        f"### {path}\n\n{MARK}\n```\n{text}\n```" for path, _, text in helps(run_agent, "run-agent")
    )
    leaves = [
        (path, command.get_short_help_str(COLUMNS))
        for path, command, _ in helps(run_agent, "run-agent")
        if not isinstance(command, click.Group)
    ]
    return TEMPLATE.format(verbs="\n".join(f"{path:<26}{text}" for path, text in leaves), reference=reference)


def helps(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, click.Command, str]]:
    """A command and all below it, each with its full name and its help."""
    settings = {"terminal_width": COLUMNS, "max_content_width": COLUMNS, **command.context_settings}
    context = command.context_class(command, parent, name, **settings)
    yield context.command_path, command, click.unstyle(command.get_help(context)).rstrip()
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            found = command.get_command(context, verb)
            if found and not found.hidden:
                yield from helps(found, verb, context)


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), sys.argv[1:], __doc__))
