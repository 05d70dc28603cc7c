"""Measures docs/accuracy.md: ``python docs/accuracy/make.py`` judges every implementation of implementations.yaml that is installed.

Each entry is one run of ``losscheck check`` in a process of its own; what came out is kept in rows.json, and the page (markdown and
html) and cases.yaml are written from that. ``--only WORD`` runs the entries that name it and keeps the other rows; ``--pages`` writes the
pages from the rows there are.
"""

from __future__ import annotations

import datetime
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENTRIES, ROWS = HERE / "implementations.yaml", HERE / "rows.json"
DTYPES = ("float32", "bfloat16", "float16")
TIMEOUT = 1800


def entries() -> list[dict[str, Any]]:
    """The entries of implementations.yaml."""
    found: list[dict[str, Any]] = YAML(typ="safe").load(ENTRIES)
    return found


def command(entry: Mapping[str, Any], dtype: str = "") -> str:
    """What reproduces the rows of an entry, or its row of a dtype, as a shell takes it."""
    return " ".join([*(f"{name}={value}" for name, value in entry.get("env", {}).items()), shlex.join(_words(entry, dtype))])


def _words(entry: Mapping[str, Any], dtype: str) -> list[str]:
    words = ["losscheck", "check", entry["what"], *shlex.split(entry.get("options", ""))]
    return [*words, *(["--dtype", dtype] if dtype else [])]


def identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What an entry and its rows have in common, and no other."""
    return row["what"], row.get("options", ""), tuple(row.get("env", {}).items())


def installed(entry: Mapping[str, Any]) -> str:
    """The version of its package; "" where it is not installed."""
    try:
        return version(entry["package"])
    except PackageNotFoundError:
        return ""


def run(entry: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The row of an entry in a dtype, as `losscheck check --format json` has it.

    Raises:
        RuntimeError: when it could not judge.
    """
    words = [sys.executable, "-m", *_words(entry, dtype), "--format", "json"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=TIMEOUT, check=False, env={**os.environ, "PYTHONPATH": path, **entry.get("env", {})}
    )
    if done.returncode not in (0, 1):
        said = [line for line in done.stderr.splitlines() if line.startswith("losscheck: error: ")]
        raise RuntimeError(said[0].removeprefix("losscheck: error: ") if said else f"exit {done.returncode}")
    row: dict[str, Any] = json.loads(done.stdout)["rows"][0]
    if row["reason"]:
        raise RuntimeError(row["reason"])
    return row


def measured(entry: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """What the page shows of a row, as plain data."""
    row = run(entry, dtype)
    advice, finding = row["advice"] or {}, row["findings"][0]
    kept = ("loss", "params", "recognised", "sure", "note", "max_ulp", "loss_error", "grad_error", "low", "high", "share")
    return {
        "package": entry["package"],
        "version": installed(entry),
        "what": entry["what"],
        "options": entry.get("options", ""),
        "env": entry.get("env", {}),
        "issue": issue_of(entry, dtype),
        "dtype": dtype,
        "effect": row["effect"],
        **{name: row[name] for name in kept},
        "first_failing": first_failing(finding),
        "finding": finding,
        "backend": row["backend"],
        "why": advice.get("why", ""),
        "place": in_package(advice.get("place", "")),
        "command": command(entry, dtype),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def issue_of(entry: Mapping[str, Any], dtype: str) -> str:
    """The issue about an entry's row of a dtype; "" for none."""
    return str(entry.get("issue", "")) if dtype in entry.get("issue_of", DTYPES) else ""


def first_failing(finding: Mapping[str, Any]) -> float | None:
    """The failing float nearest to 0, as the report itself has it; None where nothing fails."""
    return min((float(onset["logit"]) for onset in finding["onsets"] or ()), key=abs, default=None)


def in_package(place: str) -> str:
    """'monai/losses/focal_loss.py:320', without the folders of this machine."""
    return place.rpartition("site-packages/")[2]


def measure(only: str = "") -> dict[str, Any]:
    """Every entry that is installed, in every dtype; what could not be judged, and why."""
    old = json.loads(ROWS.read_text()) if ROWS.exists() else {"rows": [], "left_out": []}
    rows, left_out = [], []
    for entry in entries():
        mine = [row for row in old["rows"] if identity(row) == identity(entry)]
        if only and only not in command(entry):
            rows += mine
            left_out += [left for left in old["left_out"] if left["command"].startswith(command(entry))]
            continue
        if not installed(entry):
            left_out.append({"command": command(entry), "reason": f"{entry['package']} is not installed"})
            continue
        for dtype in entry.get("dtypes", DTYPES):
            try:
                rows.append(measured(entry, dtype))
                told = rows[-1]["effect"]
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                told = str(error)
                left_out.append({"command": command(entry, dtype), "reason": told})
            ROWS.write_text(json.dumps({"rows": rows, "left_out": left_out}, indent=1) + "\n")  # a long run that is cut keeps what it has
            sys.stderr.write(f"{command(entry, dtype)}: {told}\n")
    return {"rows": rows, "left_out": left_out}


def main(arguments: list[str]) -> None:
    sys.path.insert(0, str(HERE))
    from pages import write_pages

    if "--pages" not in arguments:
        only = arguments[arguments.index("--only") + 1] if "--only" in arguments else ""
        ROWS.write_text(json.dumps(measure(only), indent=1) + "\n")
    write_pages(json.loads(ROWS.read_text()))


def picked(rows: list[dict[str, Any]], package: str, most: int = 3) -> Iterator[dict[str, Any]]:
    """The rows of a package that a test runs again: the worst, the best and one between."""
    mine = sorted((row for row in rows if row["package"] == package), key=lambda row: (row["effect"], row["command"]))
    chosen = {0, len(mine) // 2, len(mine) - 1} if mine else set()
    return (mine[n] for n in sorted(chosen)[:most])


if __name__ == "__main__":
    main(sys.argv[1:])
