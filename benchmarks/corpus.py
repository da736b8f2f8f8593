"""Messages as agents write them, from a seed; and plain ones to measure beside them.

One seed gives the same drafts on every machine. Some agents work in runs: each says who it is (``meta.from``),
answers what others have written, calls tools and reports on them. Bodies are prose, code, diffs, logs and Chinese;
one in ``EVERY_MEGABYTE`` has 1 MB.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from messagebus import Draft, Link, Parent

EVERY_MEGABYTE = 20_000  # messages from one long body to the next
BODY = "The parser handles nested lists now; see the tests beside it. Next comes the renderer, by run-8: ok?"

_AGENTS = ["planner", "coder-1", "coder-2", "reviewer", "tester", "调试员"]
_TYPES = {
    "PROGRESS": 30, "TOOL_CALL": 20, "TOOL_RESULT": 20, "FACT": 10, "QUESTION": 5, "ANSWER": 5, "DECISION": 3,
    "ERROR": 3, "RUN_START": 2, "RUN_STOP": 2,
}  # fmt: skip
_KINDS = {"TOOL_RESULT": "result", "ANSWER": "answers", "RUN_STOP": "closes", "DECISION": "depends_on"}
_PROSE = (
    "the parser handles nested lists now and its tests pass again after a flush was missing in writer see log of run "
    "next comes renderer which still drops trailing spaces we should decide whether an empty header is valid at all"
)
_LINES = [
    "def parse(text: str) -> list[Token]:\n    return [Token(*match.groups()) for match in _TOKEN.finditer(text)]\n",
    "for (const row of rows) {\n  if (!row.id) throw new Error(`no id in ${JSON.stringify(row)}`);\n}\n",
    "SELECT id, ts FROM messages WHERE type = 'FACT' ORDER BY id DESC LIMIT 20;\n",
]
_DIFF = (
    "--- a/parser.py\n+++ b/parser.py\n@@ -41,7 +41,7 @@ def parse(text):\n-    return split(text)\n"
    "+    return text.split()\n"
)
_LOG = "2026-11-21 03:14:15,926 INFO parser: {} of {} files parsed, {} warnings (C:\\build\\out\\{}.log)\n"
_CHINESE = "解析器现在可以处理嵌套列表、测试再次通过。接下来是渲染器、它仍然会丢失行尾的空格。"


class Corpus:
    """A source of drafts. ``earlier`` are ids that they may refer to, such as those of the last batch."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._made = 0
        self._bodies: list[tuple[Callable[[], str], int]] = [
            (self._prose, 45), (self._code, 15), (self._diff, 15), (self._log, 15), (self._chinese, 10)
        ]  # fmt: skip

    def drafts(self, count: int, earlier: Sequence[str] = ()) -> list[Draft]:
        """The next ``count`` drafts."""
        return [self._draft(earlier) for _ in range(count)]

    def _draft(self, earlier: Sequence[str]) -> Draft:
        chance = self._random
        type_ = self._choice(_TYPES)
        meta = {"from": chance.choice(_AGENTS)}
        if type_.startswith("TOOL"):
            meta |= {"tool": chance.choice(["shell", "edit", "search"]), "duration_ms": str(chance.randrange(9000))}
        kind = _KINDS.get(type_, "")
        parents = [Parent(chance.choice(earlier), kind)] if earlier and (kind or chance.random() < 0.2) else []
        links = [Link(f"https://ci.example/runs/{chance.randrange(1000)}", "the run")] if chance.random() < 0.1 else []
        return Draft(
            type_, "demo", self._body(), task_id="task-1", run_id=f"run-{self._made // 200}",
            parents=parents, links=links, meta=meta,
        )  # fmt: skip

    def _body(self) -> str:
        self._made += 1
        if self._made % EVERY_MEGABYTE == EVERY_MEGABYTE // 2:
            log = self._log()
            return log * (1_000_000 // len(log))
        makers, weights = zip(*self._bodies, strict=True)
        maker: Callable[[], str] = self._random.choices(makers, weights)[0]
        return maker()

    def _choice(self, weights: dict[str, int]) -> str:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _prose(self) -> str:
        return " ".join(self._random.choices(_PROSE.split(), k=self._random.randrange(5, 60))).capitalize() + "."

    def _code(self) -> str:
        return f"```\n{''.join(self._random.choices(_LINES, k=self._random.randrange(1, 6)))}```"

    def _diff(self) -> str:
        return _DIFF * self._random.randrange(1, 5)

    def _log(self) -> str:
        numbers = [self._random.randrange(1000) for _ in range(4)]
        return _LOG.format(*numbers) * self._random.randrange(1, 9)

    def _chinese(self) -> str:
        return _CHINESE * self._random.randrange(1, 4)


def plain(count: int) -> list[Draft]:
    """Drafts with a task, a run and a body of 100 bytes, and nothing else."""
    return [Draft("FACT", "demo", BODY, task_id="task-1", run_id="run-1") for _ in range(count)]


def with_sender(count: int) -> list[Draft]:
    """The same, each from one of three senders."""
    return [
        Draft("FACT", "demo", BODY, task_id="task-1", run_id="run-1", meta={"from": f"coder-{number % 3}"})
        for number in range(count)
    ]


def with_parent(count: int, earlier: Sequence[str] = ()) -> list[Draft]:
    """The same, each an answer to an earlier message (to itself in the first batch of a log)."""
    parents = list(earlier) or ["MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"]
    return [
        Draft(
            "ANSWER", "demo", BODY, task_id="task-1", run_id="run-1", meta={"from": f"coder-{number % 3}"},
            parents=[Parent(parents[number % len(parents)], "answers")],
        )
        for number in range(count)
    ]  # fmt: skip
