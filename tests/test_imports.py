"""What is imported when, and from where: the arrows of the design, checked on the source and in fresh processes."""

import ast
import dataclasses
import functools
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import losscheck
import losscheck.core

PACKAGE = Path(losscheck.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
FRAMEWORKS = {"numpy", "torch", "tensorflow", "jax", "ml_dtypes", "mpmath", "flint", "numba", "llvmlite"}
COMPILED = tuple(
    f"filter/{name}.py" for name in ("compiling", "kernels", "size_kernels", "block_kernels", "polynomial_kernels")
)  # their decorators need numba; nothing may load them on import


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


@functools.cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path, *, lazy):
    """(module, names) of every import at module level; with ``lazy`` also of those inside functions."""
    tree = parsed(path)
    nodes = ast.walk(tree) if lazy else _at_module_level(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module, tuple(alias.name for alias in node.names)


def _at_module_level(tree):
    """Every node that runs on import: not the bodies of functions, nor what only a type checker reads."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        todo += ast.iter_child_nodes(node)


def roots(path, *, lazy):
    return {module.partition(".")[0] for module, _ in imports(path, lazy=lazy)}


AT_EXIT = "import atexit, json, sys\natexit.register(lambda: print('LOADED', json.dumps(sorted(sys.modules)), file=sys.stderr))"
COMMAND = """
import sys
sys.argv = {words!r}
from losscheck.cli import main
try:
    main()
except SystemExit as end:
    print("CODE", end.code)
"""


def loaded_after(*words, code=None):
    """What a fresh process has loaded when it ends, after ``python -m losscheck words`` or a piece of code; its output."""
    text = f"{AT_EXIT}\n{code or COMMAND.format(words=['losscheck', *words])}\n"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("LOADED"), done.stderr
    return {module.partition(".")[0] for module in json.loads(last.removeprefix("LOADED "))}, done.stdout


# In fresh processes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [("--help",), ("--version",), ("compare", "--help"), ("list", "--help"), ("doctor", "--help"), ("explain", "lost")],
    ids=" ".join,
)
def test_help_loads_no_framework_and_no_rich(words):
    """Bare --help costs click and nothing more."""
    loaded, shown = loaded_after(*words)

    assert "losscheck" in shown
    assert "click" in loaded
    assert not loaded & (FRAMEWORKS | {"rich"})


def test_importing_the_package_loads_no_framework():
    """`import losscheck` is the version string; click stays out too."""
    loaded, _ = loaded_after(code="import losscheck")

    assert not loaded & (FRAMEWORKS | {"rich", "click"})


def test_the_vocabulary_loads_no_framework():
    """Formats, losses, implementations and reports are plain Python."""
    code = "import losscheck.core.dtypes, losscheck.core.results, losscheck.core.registry as r; r.implementations(); r.losses()"

    assert not loaded_after(code=code)[0] & FRAMEWORKS


def test_the_vocabulary_is_frozen():
    """A renderer that mends a row for itself would change what the next one shows."""
    modules = [importlib.import_module(module.name) for module in pkgutil.walk_packages(losscheck.core.__path__, "losscheck.core.")]
    kinds = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]

    assert len(kinds) > 10
    assert [kind.__name__ for kind in kinds if not kind.__dataclass_params__.frozen] == []


@pytest.mark.parametrize(
    ("words", "wanted", "unwanted"),
    [
        (("--backend", "numpy"), {"numpy", "flint", "rich"}, {"torch", "ml_dtypes"}),
        (("--backend", "numpy", "--format", "csv"), {"numpy", "flint"}, {"torch", "rich"}),
        (("--backend", "numpy", "--dtype", "bfloat16"), {"numpy", "ml_dtypes"}, {"torch"}),
        (("--backend", "mpmath", "--oracle", "mpmath"), {"mpmath"}, {"torch", "flint"}),
        (("--backend", "torch", "--format", "json"), {"torch"}, {"rich", "ml_dtypes"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_compare_loads_what_it_uses(words, wanted, unwanted):
    """A backend that is not asked for is not imported; neither is an oracle, nor rich for a program's format."""
    loaded, shown = loaded_after("compare", "--loss", "bce", "--impl", "stable", "--impl", "mpmath", "--logit", "1", *words)

    assert shown.endswith("CODE 0\n")
    assert wanted <= loaded
    assert not loaded & unwanted


def test_a_mistake_is_told_without_loading_a_framework():
    """--dtype flaot32 is answered at once."""
    loaded, shown = loaded_after("compare", "--logit", "1", "--dtype", "flaot32")

    assert shown == "CODE 2\n"
    assert not loaded & {"numpy", "torch", "flint", "rich"}


# On the source ----------------------------------------------------------------------------------------------------


def offending(import_of, files=FILES, *, lazy=True):
    """'file imports module.name' for each import, of some files, that a rule forbids."""
    return [
        f"{name_of(path)} imports {module}{'.' if name else ''}{name}"
        for path in files
        for module, names in imports(path, lazy=lazy)
        for name in ("", *names)
        if import_of(path, module, name)
    ]


def room(name):
    """The files of a room; there are some."""
    files = [path for path in FILES if path.relative_to(PACKAGE).parts[0] == name]
    assert files
    return files


def test_no_module_imports_a_framework_when_it_is_loaded():
    """Frameworks are imported inside functions; flint and mpmath are what the oracle is made of."""

    def forbidden(path, module, name):
        allowed = {"flint", "mpmath"} if path.parent.name == "oracle" else set()
        if name_of(path) in COMPILED:
            allowed = {"numpy", "numba", "llvmlite"}
        return module.partition(".")[0] in FRAMEWORKS - allowed

    assert offending(forbidden, lazy=False) == []


def test_no_module_loads_the_compiled_kernels_on_import():
    """numba takes a second: only a function that needs it loads it."""
    compiled = {"losscheck." + name.removesuffix(".py").replace("/", ".") for name in COMPILED}

    def forbidden(path, module, name):
        return name_of(path) not in COMPILED and f"{module}.{name}".removesuffix(".") in compiled

    assert offending(forbidden, lazy=False) == []


def test_a_loss_or_implementation_imports_the_vocabulary_alone():
    """The modules of core that say what a loss is and what its parts are, and no framework even lazily: `xp` and `m` are given."""
    vocabulary = {"losscheck.core." + module for module in ("loss", "dtypes", "functional", "focal")}

    def forbidden(path, module, name):
        top = module.partition(".")[0]
        return top in FRAMEWORKS or (top == "losscheck" and module not in vocabulary)

    assert offending(forbidden, room("losses") + room("implementations")) == []


def test_only_cli_imports_click_and_only_cli_and_tables_import_rich():
    """Everything else returns data or text."""
    draws = {name_of(path) for path in room("cli")} | {"renderers/text.py", "renderers/text_table.py"}

    def forbidden(path, module, name):
        top = module.partition(".")[0]
        return (top == "click" and path.parent.name != "cli") or (top == "rich" and name_of(path) not in draws)

    assert offending(forbidden) == []


def test_a_renderer_is_a_function_of_a_report():
    """It knows no backend, no oracle arithmetic, no command line and no pipeline."""
    rooms = ("losscheck.cli", "losscheck.backends", "losscheck.oracle", "losscheck.measure")

    assert offending(lambda path, module, name: module.startswith(rooms), room("renderers")) == []


def test_the_oracle_knows_no_backend():
    """What judges shares no code with what is judged."""
    rooms = (
        "losscheck.backends",
        "losscheck.core.functional",
        "losscheck.implementations",
        "losscheck.losses",
        "losscheck.measure.compare",
    )

    assert offending(lambda path, module, name: module.startswith(rooms), room("oracle")) == []


# The rooms, from the ground up. A file imports from its own room and from floors below it; two rooms of one floor do not
# know each other. An import inside a function counts like any other: it is an arrow, only a later one.
FLOORS = (
    ("core",),
    ("losses", "implementations", "oracle", "points", "renderers"),
    ("filter", "backends", "tracing"),
    ("callables", "inventory"),
    ("measure",),
    ("gating", "advice"),
    ("api",),
    ("cli", "testing", "pytest_plugin"),
    ("__init__", "__main__"),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MOST_LINES = 350


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def arrows_up(path, room):
    """'file:line: room imports room' for each import of a file, standing in a room, that does not lead down."""
    for node in ast.walk(parsed(path)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module] if node.module != "losscheck" else [f"losscheck.{alias.name}" for alias in node.names]
        for module in modules:
            top, _, rest = module.partition(".")
            other = rest.partition(".")[0] or "__init__"
            if top == "losscheck" and other != room and FLOOR_OF[other] >= FLOOR_OF[room]:
                yield f"{path.name}:{node.lineno}: {room} imports {other}"


def test_arrows_run_down_only():
    """No file imports from a room beside or above its own."""
    assert [arrow for path in FILES for arrow in arrows_up(path, room_of(path))] == []


def test_an_arrow_up_is_named_with_file_line_and_rooms(tmp_path):
    """The control, at module level and inside a function."""
    path = tmp_path / "bad.py"
    path.write_text(
        "from losscheck.core import dtypes\n\ndef late():\n    from losscheck.gating.judge import Session\nimport losscheck.cli\n"
    )

    assert sorted(arrows_up(path, "measure")) == ["bad.py:4: measure imports gating", "bad.py:5: measure imports cli"]


def test_the_house_has_nine_floors_and_no_other_room():
    """A new room is a decision: it gets its place in FLOORS and in CONTRIBUTING.md."""
    assert len(FLOORS) <= 9
    assert {room_of(path) for path in FILES} == set(FLOOR_OF)


def test_no_two_files_import_each_other():
    """No circle inside a room either, lazy imports included."""
    arrows = {name_of(path): set(targets_of(path)) for path in FILES}
    while free := {name for name, targets in arrows.items() if not targets & set(arrows)}:
        arrows = {name: targets for name, targets in arrows.items() if name not in free}

    assert not arrows, f"in a circle, or above one: {sorted(arrows)}"


def targets_of(path):
    """The files of the package that a file imports."""
    for module, names in imports(path, lazy=True):
        for candidate in (module, *(f"{module}.{name}" for name in names)):
            file = PACKAGE.parent / (candidate.replace(".", "/") + ".py")
            if candidate.startswith("losscheck.") and file.is_file():
                yield name_of(file)


def test_a_module_is_one_idea():
    """About 250 lines; at MOST_LINES it is two ideas."""
    assert [name_of(path) for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES] == []


VAGUE = {"each", "one", "found", "it", "thing"}  # what a loop goes over has a name


def vaguely_named(path):
    """'file:line: name' of each loop and comprehension whose variable says nothing."""
    for node in ast.walk(parsed(path)):
        target = node.target if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension) else None
        for name in ast.walk(target) if target is not None else ():
            if isinstance(name, ast.Name) and name.id in VAGUE:
                yield f"{path.name}:{name.lineno}: {name.id}"


def test_a_loop_variable_says_what_it_holds(tmp_path):
    """A reader jumps into the middle. The control has one of each kind."""
    bad = tmp_path / "bad.py"
    bad.write_text("for n, each in enumerate([]):\n    print([one for one in (1, 2)], each)\n")

    assert sorted(vaguely_named(bad)) == ["bad.py:1: each", "bad.py:2: one"]
    assert [name for path in FILES for name in vaguely_named(path)] == []


def test_a_rule_names_what_breaks_it(tmp_path, monkeypatch):
    """The control: a file of the room of losses that imports torch inside a function, and one of ours."""
    path = tmp_path / "losses" / "bad.py"
    path.parent.mkdir()
    path.write_text("from losscheck.core import loss\n\ndef late():\n    import torch\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "FILES", [path])

    assert offending(lambda path, module, name: module in FRAMEWORKS, room("losses")) == ["losses/bad.py imports torch"]
    assert offending(lambda path, module, name: module in FRAMEWORKS, room("losses"), lazy=False) == []


def test_the_check_sees_an_import_at_module_level(tmp_path):
    """The control: module level, a class body and a conditional count, a function and a type checker's block do not."""
    text = "import torch\nclass A:\n    import numpy\nif True:\n    from jax import nn\ndef f():\n    import flint\n"
    path = tmp_path / "module.py"
    path.write_text(text + "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mpmath\n")

    assert roots(path, lazy=False) == {"torch", "numpy", "jax", "typing"}
    assert roots(path, lazy=True) == {"torch", "numpy", "jax", "typing", "flint", "mpmath"}


def test_every_source_file_is_checked():
    """The walk found the package, and not an empty folder."""
    names = {name_of(path) for path in FILES}

    assert {"cli/compare.py", "losses/bce.py", "oracle/flint.py", "renderers/text.py", "backends/torch.py"} <= names
