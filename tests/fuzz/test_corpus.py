"""What the fuzzer found worth keeping, tried again: its targets need no fuzzer for that."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from patience import SECONDS

HERE = Path(__file__).parent
CORPUS = sorted(path.name for path in (HERE / "corpus").iterdir())
SEVERAL = 300 * 1024  # bytes of all inputs: they are in git for ever


@pytest.fixture(scope="module")
def targets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_targets", HERE / "targets.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_target_has_a_corpus(targets: ModuleType) -> None:
    assert sorted(targets.TARGETS) == CORPUS
    inputs = [path for path in (HERE / "corpus").rglob("*") if path.is_file()]
    assert len(inputs) <= 300
    assert sum(path.stat().st_size for path in inputs) <= SEVERAL


@pytest.mark.parametrize("name", CORPUS)
def test_the_corpus(name: str, targets: ModuleType, tally: Callable[..., None]) -> None:
    inputs = sorted((HERE / "corpus" / name).iterdir())
    with targets.small_sizes():
        for path in inputs:
            data = path.read_bytes()
            try:
                targets.TARGETS[name](data)
            except Exception as error:
                error.add_note(f"{path.name}: {data!r}")
                raise
    tally("inputs of the fuzzer's corpus replayed", len(inputs))


IN_MEMORY_AFTER_A_FILE = """
import sys
from messagebus import Draft, MessageBus
MessageBus(sys.argv[1]).append_message(Draft("FACT", "p", "x"))
from messagebus import MemoryBackend
bus = MessageBus(MemoryBackend())
message = bus.append_message(Draft("FACT", "p", "x"))
assert bus.get_message(message.msg_id) == message
"""


def test_a_store_in_memory_after_an_append_to_a_file(tmp_path: Path) -> None:
    """Names are imported when first used, in whatever order that is; the fuzzer came upon this one."""
    command = [sys.executable, "-c", IN_MEMORY_AFTER_A_FILE, str(tmp_path / "BUS.md")]
    subprocess.run(command, cwd=HERE.parents[1], check=True, timeout=SECONDS)
