"""A stand-in for a module or a class, for one of its users: patches that no other thread sees."""

from __future__ import annotations

from typing import Any


class Patched:
    """``original`` with some of its names replaced: ``monkeypatch.setattr(append, "os", Patched(os, write=fail))``.

    To replace ``os.write`` itself would change it for the whole process, and so for threads that have
    nothing to do with the test: a watchdog that ends, say, writes to a pipe.
    """

    def __init__(self, original: Any, **replaced: Any) -> None:
        self._original = original
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)
