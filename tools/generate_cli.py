"""Write docs/cli.md: the text below, and the help of every verb.

python tools/generate_cli.py           write it
python tools/generate_cli.py --check   exit code 1 if it is out of date
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from generated import write_or_check

from run_agent.cli.main import run_agent

PAGE = Path(__file__).parents[1] / "docs/cli.md"
COLUMNS = 100  # the width of the help, whatever the terminal has
MARK = "<!-- tried by tests/docs/test_help.py -->"

TEMPLATE = """\
<!-- Written by tools/generate_cli.py (`make docs`): change it there, or in the help of the verb. -->
# The program

<!-- not executed: the verbs; the reference below is tried -->
```
{verbs}
```

Results go to standard output. Errors and warnings go to standard error, each in a sentence or two
that says what to do next. Every verb has `--help` with examples; the [reference](#reference) below
has all of it.

## Which bus

| `post` takes the first of | `read` takes the first of |
|---|---|
| `--bus FILE` | `--project ID`, `--task ID`: the bus in the tree under the root |
| `MESSAGE_BUS`, or `JRUN_MESSAGE_BUS` | `--bus FILE` (with `--project` or `--task`: a usage error) |
| `--project ID`, `--task ID`: the bus in the tree under the root | `MESSAGE_BUS`, or `JRUN_MESSAGE_BUS` |
| the first bus file upward | the first bus file upward |

For `post`, `--project` and `--task` are fields of the message first, and choose the bus only if
neither `--bus` nor a variable does. `--task` without `--project` takes the project from
`JRUN_PROJECT_ID`. So if `MESSAGE_BUS` is set, `post` and `read` may choose different buses for the
same flags. `post` then warns on standard error, names the bus, and exits with 0. It also warns if
`MESSAGE_BUS` names a bus of one project and the current directory has the bus of another.

A bus that `read --bus` names must exist (exit code 3), unless `--follow` waits for it. A bus that
`MESSAGE_BUS` or `--project` names need not exist yet: `read` says so, and exits with 0.

The tree under the root:

<!-- not executed: where the files are -->
```
<root>/<project>/PROJECT-MESSAGE-BUS.md
<root>/<project>/<task>/TASK-MESSAGE-BUS.md
```

The root is `--root`, else `JRUN_RUNS_DIR`, else `~/.run-agent/runs`. `post` creates the directories
of a project and task there; the directory of a bus that `--bus` or `MESSAGE_BUS` names must exist.
A project or task id that becomes a directory must not be blank or `.`, nor contain `..`, a slash, a
backslash or a control character: exit code 6.

The search upward looks in each directory from the current one to `/` for `TASK-MESSAGE-BUS.md`,
then `PROJECT-MESSAGE-BUS.md`, then `MESSAGE-BUS.md`. Links, directories and devices do not count.
Two cases are refused (exit code 6):

- The bus belongs to another user and is in a directory that others may write to, so anyone could
  have put it there: [security.md](security.md#a-bus-found-upward).
- A directory on the way may not be searched.

To use such a bus all the same, name it with `--bus` or `MESSAGE_BUS`.

In every option and variable that holds a path, `~` or `~user` at the start means the home
directory. (Shells do not expand it in `--root=~/runs`, nor do cron and systemd anywhere.) If there
is no such home directory, the path is refused (exit code 6). `./~x` is a file named `~x`.

`run-agent bus discover --explain` shows the result of all these rules in the current directory, and
which rule chose it.

## Which project, task and run

Each message has a project, and may have a task and a run. Each of the three comes from the first of
these sources that names it:

1. `--project`, `--task`, `--run`
2. the path of the bus: `<root>/<project>/<task>/TASK-MESSAGE-BUS.md`,
   `<root>/<project>/PROJECT-MESSAGE-BUS.md`
3. `RUN_FOLDER`, or `JRUN_RUN_FOLDER`: `<root>/<project>/<task>/runs/<run>`
4. `TASK_FOLDER`, or `JRUN_TASK_FOLDER`: `<root>/<project>/<task>`
5. `JRUN_PROJECT_ID`, `JRUN_TASK_ID`, `JRUN_ID`
6. for the project, the name of the directory of a `MESSAGE-BUS.md`, if it can be an id: so
   `touch MESSAGE-BUS.md` is enough to start a bus

A task from a path (2 to 4) counts only if the project is the one in that path. A post without a
project is a usage error.

## Environment

| variable | meaning |
|---|---|
| `MESSAGE_BUS`, `JRUN_MESSAGE_BUS` | the bus file |
| `HOME` | the home directory; if empty or not set, the one in the system's list of users |
| `JRUN_RUNS_DIR` | the root of all projects |
| `RUN_FOLDER`, `JRUN_RUN_FOLDER` | the directory of the run |
| `CREDENTIALS_DIRECTORY` | where systemd puts credentials: a key file there may have group permissions |
| `RUN_AGENT_API_KEY` | the key that clients of `serve` must send |
| `TASK_FOLDER`, `JRUN_TASK_FOLDER` | the directory of the task |
| `JRUN_PROJECT_ID`, `JRUN_TASK_ID`, `JRUN_ID` | project, task and run |
| `VISUAL`, `EDITOR` | the editor of `post --edit` |
| `NO_COLOR` | if not empty, no colour on a terminal (nor with `TERM=dumb`) |

An empty variable counts as not set. The names with `JRUN_` are those of the Go runner.

## Exit codes

| code | when |
|---|---|
| 0 | done; also if the reader of the output has gone, or a read found an empty bus |
| 1 | it ran, and the answer is no: no message with that `--id`; `check` found damage; \
the editor saved nothing, or failed; `serve` cannot listen, or its extra is not installed |
| 2 | usage: an unknown verb or option, options that contradict each other, no text, no project |
| 3 | no bus found: none is named, and there is none upward; \
or the one that `--bus` names does not exist (`read`, `check`) |
| 4 | the id of `--since` or `--until` is not on the bus \
(with `--follow`, a warning says so and all messages are shown) |
| 5 | lock timeout: other writers held the lock for all of `--lock-timeout`; nothing was written |
| 6 | refused: a message (with `--jsonl`: at least one); a path that cannot be a bus or be opened; \
a bus found upward that is not trusted; not in a git work tree |
| 7 | no answer in time; no verb of this version waits for one |
| 70 | unexpected: a full disk, a failed flush (the error says that the message is stored), a bug |
| 130 | interrupted by Ctrl-C |

A signal that ends every program ends this one too (SIGTERM: 143 in a shell), also as process 1 of a
container, where the system would ignore it. On SIGTERM, `serve` shuts down in order and exits
with 0. Where Ctrl-C is ignored, as in a background job of a script, it stays ignored.

## Standard streams

Each of the three may be a file, a pipe, a socket or a terminal, blocking or not, or closed. Every
byte of standard output arrives; otherwise the exit code is 70 and an error says why. What cannot be
written to standard error is dropped, and changes neither what is done nor the exit code. Variables
of the Python interpreter (`PYTHONUNBUFFERED`, `PYTHONWARNINGS` and so on) change nothing.

## What is printed

**`post`** prints `msg_id: MSG-...`; with `--quiet` only the id; with `--json` the stored message,
as `read --json` would.

**`post --jsonl`** takes one JSON object per line, with the fields of a message
([SPEC.md](../SPEC.md#12-json)) except `msg_id` and `intact`, and optionally `idempotency_key`.
Flags are defaults for every line. Lines are stored as they arrive, those that arrived together in
one write, and each id is printed at once. A bad line is reported with its number on standard error,
the others are stored, and the exit code is 6. A line is parsed as strictly as a request to `serve`:
UTF-8, no duplicate field, no `NaN`.

**`post --jsonl --copy`** takes lines of `read --json`, and so copies messages from one bus to
another. Each copy gets a new id and keeps everything else, including its time. Parents keep the ids
that they name. A message with an idempotency key keeps it, so copying it again within 24 hours of
its time stores nothing new. For a message that is torn or was edited (`intact` is false), a warning
says that its copy counts as intact. Copies do not take their task and run from the environment or
the path of the bus, only from flags.

**`--type`** is stored as given. Comparisons of types ignore case: in `read --type`, in the `type`
parameter of the server, and in deciding what is an ISSUE or the end of a run.

**`read`** prints text:

<!-- tried by tests/docs/test_help.py -->
```
[2026-11-21 03:14:15] (FACT) The build is green
    again now.
[2026-11-21 03:14:16] (ERROR) (torn) this record lost its en
```

Times are UTC. Only messages start in the first column: further lines of a body are indented, and
control characters are escaped (`\\x1b`). So no body can imitate another message or control the
terminal. On a terminal, long lines are wrapped with the same indent, to its width at that time (24
columns or more). The terminal may break them again if it is made narrower later, or if it shows
characters of ambiguous width as wide. In a pipe, lines are not wrapped. `(torn)` means that the
length of the text is not the one that was stored, because of a crash or an editor. Only a terminal
gets colour.

`--long` adds the other fields of a message after its type:

<!-- tried by tests/docs/test_help.py -->
```
[2026-11-21 03:14:16] (ANSWER) <MSG-2 run-7 re MSG-1:answers task=t1 link=https://ci.example meta.branch=main> Yes.
```

These are the id, the run, each parent with its kind after `re`, then `task`, `issue`, each `link`
and each `meta` by name. A value that contains a separator is quoted, so that it cannot imitate
another field. Further fields of a link or a parent are shown only by `--json`.

**`read --json`** prints one JSON object per line, in the shape of [SPEC.md](../SPEC.md#12-json).
**`read --raw`** prints the records as they are stored, which together are a bus file again. Both
are exact.

**`read --follow`** then prints each new message within milliseconds, flushed, also into a pipe. It
waits for a bus that does not exist yet, and follows rotations without loss or repetition. Where the
file system has no events, it polls twice a second. It ends on Ctrl-C (130), or when its output is
closed at the other end (0): a pipe, a socket or the terminal. It notices the end of a network
connection only when it writes the next message.

## Completion

<!-- executed -->
```sh
mkdir -p ~/.local/share/bash-completion/completions ~/.zfunc ~/.config/fish/completions
run-agent completion bash > ~/.local/share/bash-completion/completions/run-agent
run-agent completion zsh > ~/.zfunc/_run-agent       # with fpath+=~/.zfunc before compinit in ~/.zshrc
run-agent completion fish > ~/.config/fish/completions/run-agent.fish
```

New shells then complete verbs, options, the customary types, and the projects and tasks under the
root. Bash needs the package bash-completion; without it, put `eval "$(run-agent completion bash)"`
into `~/.bashrc`.

## Reference

{reference}
"""


def page() -> str:
    """The text of docs/cli.md."""
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
    """A command and all its subcommands, each with its full name and its help."""
    settings = {"terminal_width": COLUMNS, "max_content_width": COLUMNS, **command.context_settings}
    context = command.context_class(command, parent, name, **settings)
    yield context.command_path, command, click.unstyle(command.get_help(context)).rstrip()
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            subcommand = command.get_command(context, verb)
            if subcommand and not subcommand.hidden:
                yield from helps(subcommand, verb, context)


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), sys.argv[1:], __doc__))
