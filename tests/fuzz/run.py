"""Fuzz the targets with atheris, one after another: ``make fuzz``, or ``python tests/fuzz/run.py``.

FUZZ_SECONDS (60) is the time for all of them. Each starts from its corpus and from what it found
in earlier runs (in tests/fuzz/found, which is not kept in git). A failure ends the run and leaves
its input there: move it to the corpus once it is fixed, and CI replays it from then on.

With ``--corpus``, what was found is added to the corpus, and that is reduced.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
CORPUS, FOUND = HERE / "corpus", HERE / "found"
LIBFUZZER = (f"-dict={HERE / 'words.dict'}", "-max_len=2048", "-verbosity=0")
MOST = 60  # inputs of a target in its corpus


def fuzz(name: str, arguments: list[str]) -> None:
    """Run one target in this process, which ends with it."""
    import atheris

    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    with redirect_stderr(StringIO()), atheris.instrument_imports(include=["messagebus", "run_agent"]):
        import targets

        from messagebus import codec

        for each in codec.__all__:  # imported when first used, and what is imported later is not instrumented
            getattr(codec, each)
    again = f"{sys.executable} {__file__} --target {name}"  # what -merge starts, by the shell
    atheris.Setup([again, *arguments], targets.TARGETS[name])
    with targets.small_sizes():
        atheris.Fuzz()


def run(name: str, *arguments: object) -> int:
    command = [sys.executable, __file__, "--target", name, *LIBFUZZER, *map(str, arguments)]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    names = sorted(path.name for path in CORPUS.iterdir())
    seconds = int(os.environ.get("FUZZ_SECONDS", "60"))
    for name in names:
        found = FOUND / name
        found.mkdir(parents=True, exist_ok=True)
        sys.stderr.write(f"==> {name}\n")
        options = (f"-max_total_time={max(seconds // len(names), 1)}", "-print_final_stats=1")
        if code := run(name, *options, f"-artifact_prefix={FOUND}/{name}-", found, CORPUS / name):
            sys.stderr.write(f"{name} failed: its input is in {FOUND}\n")
            return code
    return 0


def reduce() -> int:
    """Of the corpus and what was found, keep the inputs that reach all that is reached, and of those
    that reach it more often the smallest."""
    for target in CORPUS.iterdir():
        reaching, often = (merged(target, *options) for options in (["-use_counters=0"], []))
        kept = reaching | often
        for name in sorted(often.keys() - reaching.keys(), key=lambda name: len(often[name]))[MOST - len(reaching) :]:
            del kept[name]
        shutil.rmtree(target)
        target.mkdir()
        for name, data in kept.items():
            (target / name).write_bytes(data)
    return 0


def merged(target: Path, *options: str) -> dict[str, bytes]:
    """The inputs that libFuzzer would keep, by their names."""
    with TemporaryDirectory() as directory:
        if run(target.name, "-set_cover_merge=1", *options, directory, target, FOUND / target.name):
            raise SystemExit(f"{target.name} cannot be reduced")
        return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        fuzz(sys.argv[2], sys.argv[3:])
    sys.exit(reduce() if sys.argv[1:] == ["--corpus"] else main())
