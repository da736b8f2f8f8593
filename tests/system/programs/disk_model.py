"""A disk that loses power: what was done to one directory, and every state that may be left of it.

**Recording.** A ``Recording`` stands in for ``os`` in modules of the library. It does what it is
asked to and notes, in order, what reaches the disk: a file made, a write, a truncation, a rename, a
flush of a file or of the directory; and what the test says was acknowledged in between.

**The model.** Power may go after each step. What was flushed before is there (no drive lies). Of what was not:

- *Blocks*: each block of a file holds any content it had since the last flush, whichever the others
  hold: a write is kept, dropped, cut at a block, done at its end and not at its beginning. What was
  never there reads as NUL. A block is written whole or not at all.
- *Lengths*: a file has any length it had since the last flush, or ends at any block between the
  shortest and the longest of them (at any byte, if ``every_byte`` is on). So a truncation is done or not,
  and what was cut off may show again below what was written in its place.
- *Names*: each file made and each rename is there or not, whatever the others are, until the
  directory is flushed. A rename alone is atomic. A file without a name is gone, flushed or not.

Where the combinations of blocks are more than ``_ALL_UP_TO``, they are: the first or the last so many
new, and one new or one old alone, against each older content.

**What real file systems do better.** ext4, XFS and btrfs write their journal in order, so that a
later name is not there without an earlier one, nor a longer file without the truncation before it; ext4 in
its default mode and btrfs write data before the length that covers it, so that no NULs show; a new file that
is flushed has its name. A program that survives this model needs none of that. The exception that a test may
make is ``names_in_order``: a name that a rename has freed is not used again on disk without that rename.
(fstests generic/342 demands it of file systems; f2fs failed it before Linux 4.16.)
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product, takewhile
from math import prod
from pathlib import Path
from typing import Any

State = frozenset[tuple[str, bytes]]  # a directory: its names, and what the files hold
Step = Callable[["Disk"], None]

_ALL_UP_TO = 128  # combinations of blocks of one file at one length


class Disk:
    """One directory as it may be found when the power comes back."""

    def __init__(self, before: State, block: int, *, every_byte: bool = False, names_in_order: bool = False) -> None:
        self._block, self._every_byte, self._names_in_order = block, every_byte, names_in_order
        self._files = {name: _File(content) for name, content in before}  # by the name each had at first
        self._names = {name: name for name, _ in before}
        self._renaming: list[tuple[str | None, str, str]] = []  # not flushed: old name, new name, file
        self.acknowledged = 0

    def acknowledge(self, count: int) -> None:
        self.acknowledged = count

    def make(self, name: str, file: str) -> None:
        self._files[file] = _File(b"")
        self._renaming.append((None, name, file))

    def rename(self, old: str, new: str, file: str) -> None:
        self._renaming.append((old, new, file))

    def flush_names(self) -> None:
        (self._names,) = self._names_if([True] * len(self._renaming))
        self._renaming = []

    def write(self, file: str, data: bytes) -> None:
        self._files[file].become(self._files[file].content + data)

    def truncate(self, file: str, size: int) -> None:
        self._files[file].become(self._files[file].content[:size])

    def flush(self, file: str) -> None:
        self._files[file].flush()

    def states(self) -> Iterator[State]:
        """Every state there may be if the power goes now, some of them repeatedly."""
        for done in product((True, False), repeat=len(self._renaming)):
            for names in self._names_if(done):
                found = [self._files[file].contents(self._block, self._every_byte) for file in names.values()]
                yield from (frozenset(zip(names, contents, strict=True)) for contents in product(*found))

    def running(self) -> State:
        """What the programs see while the power is on."""
        (names,) = self._names_if([True] * len(self._renaming))
        return frozenset((name, self._files[file].content) for name, file in names.items())

    def _names_if(self, done: Sequence[bool]) -> Iterator[dict[str, str]]:
        """The names with these changes done; none where that is out of order."""
        names = dict(self._names)
        for old, new, file in (change for change, is_done in zip(self._renaming, done, strict=True) if is_done):
            if self._names_in_order and names.get(new, file) != file:
                return
            if old is not None and names.get(old) == file:
                del names[old]
            names[new] = file
        yield names


class _File:
    """What one file has held since it was last flushed."""

    def __init__(self, content: bytes) -> None:
        self._versions = [content]
        self._contents: list[bytes] = []

    @property
    def content(self) -> bytes:
        return self._versions[-1]

    def become(self, content: bytes) -> None:
        self._versions.append(content)
        self._contents = []

    def flush(self) -> None:
        self._versions = [self.content]
        self._contents = []

    def contents(self, block: int, every_byte: bool) -> list[bytes]:
        """Everything the disk may hold of it."""
        if not self._contents:
            self._contents = list(dict.fromkeys(mixtures(self._versions, block, every_byte=every_byte)))
        return self._contents


def mixtures(versions: Sequence[bytes], block: int, *, every_byte: bool = False) -> Iterator[bytes]:
    """What is left of a file that held ``versions``, one after another, since it was flushed."""
    if len(versions) == 1:
        yield versions[0]
        return
    lengths = [len(version) for version in versions]
    boundaries = range(min(lengths) // block * block + block, max(lengths), block)
    for size in {*lengths, *boundaries}:
        padded = [version[:size].ljust(size, b"\0") for version in reversed(versions)]
        choices = [list(dict.fromkeys(text[at : at + block] for text in padded)) for at in range(0, size, block)]
        settled = [choice[0] for choice in takewhile(lambda choice: len(choice) == 1, choices)]
        beginning = b"".join(settled)
        yield from (beginning + b"".join(blocks) for blocks in _combinations(choices[len(settled) :]))
    if every_byte:
        yield from (versions[-1][:size] for size in range(min(lengths), len(versions[-1])))


def _combinations(choices: list[list[bytes]]) -> Iterator[Iterable[bytes]]:
    """One content for each block, of those that it had, the newest first."""
    if prod(map(len, choices)) <= _ALL_UP_TO:
        yield from product(*choices)
        return
    new = [choice[0] for choice in choices]
    for age in range(1, max(map(len, choices))):
        old = [choice[min(age, len(choice) - 1)] for choice in choices]
        for one, other in ((new, old), (old, new)):
            for at in range(len(choices) + 1):
                yield one[:at] + other[at:]
                yield one[:at] + other[at : at + 1] + one[at + 1 :]


class Recording:
    """What is done to the files of ``directory`` by modules whose ``os`` has these ``functions``.

    ``meanwhile`` holds what another process does as soon as a function was called, by the name of the function;
    ``breaks`` what befalls the next write, and after how many bytes. Each is for one time.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._before = _read(directory)
        self._steps: list[Step] = []
        self._files = {entry.stat().st_ino: entry.name for entry in directory.iterdir()}
        self.acknowledged: list[Any] = []
        self.attempted = b""  # by the last write
        self.meanwhile: dict[str, Callable[[], object]] = {}
        self.breaks: tuple[int, BaseException] | None = None

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """Stand-ins for those of ``os``."""
        return {
            "open": self._open,
            "write": self._write,
            "ftruncate": self._ftruncate,
            "rename": self._rename,
            "link": self._link,
            "unlink": os.unlink,  # of a name that was not recorded
            "fsync": self._fsync,
            "fdatasync": self._fsync,
            "sched_yield": lambda: self._after("sched_yield"),
        }

    def acknowledge(self, *what: Any) -> None:
        """From here on, ``what`` must survive."""
        self.acknowledged += what
        count = len(self.acknowledged)
        self._steps.append(lambda disk: disk.acknowledge(count))

    def states(self, block: int, **model: bool) -> dict[State, int]:
        """Every state that may be found after a loss of power at any moment; and of each, how many of
        ``acknowledged`` had been so when that was possible for the last time."""
        disk = Disk(self._before, block, **model)
        found = dict.fromkeys(disk.states(), 0)
        for step in self._steps:
            step(disk)
            found |= dict.fromkeys(disk.states(), disk.acknowledged)
        assert disk.running() == _read(self._directory), "something was done that was not recorded"
        return found

    def _open(self, path: str, flags: int, mode: int = 0o777) -> int:
        is_new = not os.path.lexists(path)
        fd = os.open(path, flags, mode)
        if is_new:
            name, inode = Path(path).name, os.fstat(fd).st_ino
            self._files[inode] = file = f"{name} {inode}"
            if not name.endswith(".new"):  # which no one reads: there is no file before it is linked
                self._steps.append(lambda disk: disk.make(name, file))
        return fd

    def _link(self, old: str, new: str) -> None:
        os.link(old, new)
        name, file = Path(new).name, self._files[os.lstat(new).st_ino]
        self._steps.append(lambda disk: disk.make(name, file))

    def _write(self, fd: int, data: bytes) -> int:
        file = self._file(fd)
        size, error = self.breaks or (len(data), None)
        self.attempted, self.breaks = data, None
        part = data[:size]
        assert os.write(fd, part) == len(part)
        self._steps.append(lambda disk: disk.write(file, part))
        if error:
            raise error
        return len(part)

    def _ftruncate(self, fd: int, size: int) -> None:
        file = self._file(fd)
        os.ftruncate(fd, size)
        self._steps.append(lambda disk: disk.truncate(file, size))

    def _rename(self, old: str, new: str) -> None:
        file = self._files[os.lstat(old).st_ino]
        names = Path(old).name, Path(old).rename(new).name
        self._steps.append(lambda disk: disk.rename(*names, file))
        self._after("rename")

    def _fsync(self, fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            self._steps.append(Disk.flush_names)
        else:
            file = self._file(fd)
            self._steps.append(lambda disk: disk.flush(file))

    def _file(self, fd: int) -> str:
        return self._files[os.fstat(fd).st_ino]

    def _after(self, function: str) -> None:
        self.meanwhile.pop(function, lambda: None)()


def lay_out(state: State, directory: Path) -> None:
    """Make ``directory`` hold this and nothing else."""
    for entry in directory.iterdir():
        entry.unlink()
    for name, content in state:
        (directory / name).write_bytes(content)


def _read(directory: Path) -> State:
    return frozenset((entry.name, entry.read_bytes()) for entry in directory.iterdir())
