"""Mutation testing of the rooms that decide: does a test notice a one-line fault in core, oracle, filter, measure or gating?

    pip install -c ../constraints.txt cosmic-ray coverage
    cp -r .. /tmp/copy                                 # faults are planted in a copy, never in the tree you work in
    python mutate.py cover /tmp/copy                   # which test enters which line, and how long it takes
    python mutate.py sample /tmp/copy --per-module 10  # draw mutants by a seed
    python mutate.py run /tmp/copy                     # plant each one; stop and go on at will
    python mutate.py report /tmp/copy                  # the score of each module, and every survivor as a diff

Mutants are those of cosmic-ray. Each is tested in a forked child of a process that has loaded torch, numpy and numba, by the tests
that enter its line, quickest first, until ``--seconds`` of them are chosen; what survives is tested by as many of those that enter its
module. A second ``run`` with more ``--seconds`` tries the survivors again.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

ROOMS = ("core", "oracle", "filter", "measure", "gating")
# What runs other processes, a browser or a framework says nothing more about these rooms, and takes minutes.
NOT_ASKED = ("cuda", "docs", "examples", "frameworks", "imports", "mutations", "notebook", "page", "published", "a_strangers_loss")
COVERED, DRAWN, TRIED = ".mutate/coverage", ".mutate/mutants.json", ".mutate/tried.jsonl"
LOADED = ("torch", "numpy", "numba", "flint", "mpmath", "hypothesis", "pytest", "click", "rich", "ruamel.yaml", "pydantic", "jsonschema")
# Compiled by numba, no line of it is ever entered: what asks it stands for it.
ASKED_THROUGH = {"losscheck/filter/kernels.py": "losscheck/measure/compiled.py"}


def cover(tree: Path) -> None:
    """Run the tests file by file: what each enters, and how long each takes."""
    (tree / COVERED).mkdir(parents=True, exist_ok=True)
    for file in sorted((tree / "tests").glob("test_*.py")):
        if file.stem.removeprefix("test_") not in NOT_ASKED and not (tree / COVERED / f"{file.stem}.json").exists():
            environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
            words = [sys.executable, __file__, "cover-file", str(tree), "--file", str(file)]
            subprocess.run(words, cwd=tree, env=environment, stdout=subprocess.DEVNULL, check=False)
            print(file.stem, flush=True)


def cover_file(tree: Path, file: Path) -> None:
    """Write {test: [seconds, {module: lines}]} of one file."""
    import coverage
    import pytest

    measured = coverage.Coverage(data_file=None, source=[str(tree / "losscheck" / room) for room in ROOMS])
    seconds: dict[str, float] = {}

    class EachTest:
        @staticmethod
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(item):
            started = time.process_time()
            measured.switch_context(item.nodeid)
            try:
                return (yield)
            finally:
                measured.switch_context("")
                seconds[item.nodeid] = time.process_time() - started

    with measured.collect():
        pytest.main(["-n", "0", "-q", "-p", "no:cacheprovider", str(file)], plugins=[EachTest()])
    entered: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    data = measured.get_data()
    for path in data.measured_files():
        for line, tests in data.contexts_by_lineno(path).items():
            for test in tests:
                entered[test][str(Path(path).relative_to(tree))].append(line)
    result = {test: [spent, entered[test]] for test, spent in seconds.items()}
    (tree / COVERED / f"{file.stem}.json").write_text(json.dumps(result))


def sample(tree: Path, per_module: int, seed: int) -> None:
    """Draw mutants of each module. Annotations, ``__all__`` and messages are left out: nothing depends on what they say."""
    from cosmic_ray.commands.init import _all_work_items

    chosen, generated = [], {}
    for file in sorted(path for room in ROOMS for path in (tree / "losscheck" / room).glob("*.py")):
        module = str(file.relative_to(tree))
        told = set(_lines_without_effect(file))
        mutants = [
            {"module": module, "operator": mutation.operator_name, "occurrence": mutation.occurrence, "line": mutation.start_pos[0]}
            for item in _all_work_items([file], {})
            for mutation in item.mutations
            if mutation.start_pos not in told
        ]
        generated[module] = len(mutants)
        # By the name of the module too: a change of one file draws the same mutants of the others.
        draw = random.Random(f"{seed} {module}")
        chosen += draw.sample(mutants, min(per_module, len(mutants)))
    (tree / DRAWN).parent.mkdir(exist_ok=True)
    (tree / DRAWN).write_text(json.dumps({"seed": seed, "generated": generated, "mutants": chosen}, indent=1))
    print(f"{sum(generated.values())} mutants of {len(generated)} modules, {len(chosen)} drawn")


def _lines_without_effect(file: Path):
    """(line, column) of what only a type checker reads."""
    import ast

    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        annotations = [getattr(node, name, None) for name in ("annotation", "returns")]
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            annotations.append(node)
        for annotation in filter(None, annotations):
            yield from ((part.lineno, part.col_offset) for part in ast.walk(annotation) if hasattr(part, "lineno"))
            # cosmic-ray's operators stand where their sign does.
            yield from (
                (part.left.end_lineno, part.left.end_col_offset + 1) for part in ast.walk(annotation) if isinstance(part, ast.BinOp)
            )


class Tests:
    """Which tests enter a line of a module, quickest first."""

    def __init__(self, tree: Path) -> None:
        self.seconds: Counter[str] = Counter()
        self.of_line: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        for file in (tree / COVERED).glob("*.json"):
            for test, (spent, entered) in json.loads(file.read_text()).items():
                self.seconds[test] = spent
                for module, lines in entered.items():
                    for line in lines:
                        self.of_line[module][line].add(test)

    def for_line(self, module: str, line: int, limit: float) -> list[str]:
        """Of a line that runs on import only: those of the whole module."""
        return self._quickest(self.of_line[module][line] or self._all(module), limit)

    def for_module(self, module: str, limit: float) -> list[str]:
        return self._quickest(self._all(module), limit)

    def _all(self, module: str) -> set[str]:
        return {test for tests in self.of_line[ASKED_THROUGH.get(module, module)].values() for test in tests}

    def _quickest(self, tests: set[str], limit: float) -> list[str]:
        chosen, spent = [], 0.0
        for test in sorted(tests, key=lambda test: (self.seconds[test], test)):
            spent += self.seconds[test]
            if chosen and spent > limit:
                break
            chosen.append(test)
        return chosen

    def time(self, tests: list[str]) -> float:
        return sum(self.seconds[test] for test in tests)


def run(tree: Path, seconds: float, skip: list[str]) -> None:
    """Plant every mutant drawn that has no result yet."""
    from cosmic_ray.mutating import apply_mutation
    from cosmic_ray.plugins import get_operator

    tests = Tests(tree)
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    for name in LOADED:
        importlib.import_module(name)
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what is planted is taken out again
    # A survivor is tried again by a run that takes more time for each.
    tried = _tried(tree)
    done = {name for name, entry in tried.items() if entry["outcome"] != "survived" or entry["seconds"] >= seconds}
    todo = [mutant for mutant in json.loads((tree / DRAWN).read_text())["mutants"] if json.dumps(mutant) not in done]
    random.Random(0).shuffle(todo)  # stopped early, it has seen all modules
    todo.sort(key=lambda mutant: json.dumps(mutant) not in tried)
    control = [min(tests.seconds, key=lambda test: tests.seconds[test])]
    if (ended := _killed_by(control, 1.0, tree)) != ("survived", ""):
        raise SystemExit(f"without a mutant it is {ended}: no result would mean anything")
    for mutant in todo:
        if any(word in mutant["module"] for word in skip):
            continue
        file = tree / mutant["module"]
        text, times = file.read_bytes(), file.stat()
        try:
            before, after = apply_mutation(file, get_operator(mutant["operator"])(), mutant["occurrence"])
            if after is None or after == before:
                continue
            first = tests.for_line(mutant["module"], mutant["line"], seconds)
            outcome, by = _killed_by(first, tests.time(first), tree)
            if outcome == "survived":
                known = {*first}
                rest = [test for test in tests.for_module(mutant["module"], seconds) if test not in known]
                outcome, by = _killed_by(rest, tests.time(rest), tree) if rest else (outcome, by)
        finally:
            file.write_bytes(text)
            # As it was, so that what Python compiled of it before still serves.
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        with (tree / TRIED).open("a") as out:
            entry = {"mutant": mutant, "outcome": outcome, "by": by, "seconds": seconds, "diff": _diff(before, after)}
            out.write(json.dumps(entry) + "\n")
        print(outcome, mutant["module"], mutant["line"], mutant["operator"], by, flush=True)


def _killed_by(tests: list[str], expected: float, tree: Path) -> tuple[str, str]:
    """(killed, survived or timeout; the test that failed), in a child process that may not take all there is."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(reads)
        limit = int(3 * expected + 15)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        resource.setrlimit(resource.RLIMIT_AS, (24 * 2**30, 24 * 2**30))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        import pytest

        class First:
            @staticmethod
            def pytest_runtest_logreport(report):
                if report.failed:
                    os.write(writes, report.nodeid.encode()[:1000])

        words = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb=no", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = pytest.main([*words, *tests], plugins=[First()])
        os._exit(int(code))
    os.close(writes)
    deadline = time.monotonic() + 10 * expected + 300
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
        return "timeout", ""
    with os.fdopen(reads, "rb") as pipe:
        by = pipe.read().decode(errors="replace")
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) == signal.SIGXCPU else "killed", by
    code = os.WEXITSTATUS(status)
    return ("survived", "") if code == 0 else ("killed", by or f"no test ran: pytest ended with {code}")


def _diff(before: str, after: str) -> str:
    import difflib

    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def _tried(tree: Path) -> dict[str, dict]:
    """The last result of each mutant."""
    file = tree / TRIED
    entries = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return {json.dumps(entry["mutant"]): entry for entry in entries}


def report(tree: Path) -> None:
    """A table of the modules, then the survivors."""
    drawn = json.loads((tree / DRAWN).read_text())
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in _tried(tree).values():
        counts[entry["mutant"]["module"]][entry["outcome"]] += 1
    print("| module | mutants | tried | killed | timed out | survived |\n|---|---|---|---|---|---|")
    for module, count in sorted(counts.items()):
        name = module.removeprefix("losscheck/")
        print(
            f"| `{name}` | {drawn['generated'][module]} | {count.total()} | {count['killed']} | {count['timeout']} | {count['survived']} |"
        )
    for entry in sorted(_tried(tree).values(), key=lambda entry: (entry["mutant"]["module"], entry["mutant"]["line"])):
        if entry["outcome"] == "survived":
            print(f"\n{entry['mutant']['module']} {entry['mutant']['operator'].removeprefix('core/')}\n{entry['diff']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=["cover", "cover-file", "sample", "run", "report"])
    parser.add_argument("tree", type=Path)
    parser.add_argument("--file", type=Path, help="of `cover-file`, which `cover` starts for each")
    parser.add_argument("--per-module", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--skip", action="append", default=[], help="a module, or a part of its path, that is left out of `run`")
    given = parser.parse_args()
    tree = given.tree.resolve()
    if given.job == "cover-file":
        cover_file(tree, given.file)
    elif given.job == "sample":
        sample(tree, given.per_module, given.seed)
    elif given.job == "run":
        run(tree, given.seconds, given.skip)
    else:
        {"cover": cover, "report": report}[given.job](tree)


if __name__ == "__main__":
    main()
