"""All benchmarks: each ratio beside its goal, and a record of them for machines.

python benchmarks/run.py                       # half an hour
python benchmarks/run.py startup gate --quick  # some of them, with fewer pairs and smaller batches
python benchmarks/run.py --record record.json  # default: benchmarks/record.json
"""

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path

from paired import RECORDS

from losscheck.core.files import write_atomically
from losscheck.inventory.environment import describe

ALL = ("startup", "gate", "oracle", "tensors", "sweep")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}; default: all")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--record", type=Path, default=Path(__file__).with_name("record.json"))
    options = parser.parse_args()
    if unknown := set(options.names) - set(ALL):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    runs = []
    for name in options.names or ALL:
        print(f"== {name}", flush=True)
        load, start = os.getloadavg()[0], time.perf_counter()
        RECORDS.clear()
        sys.argv = [f"{name}.py", *(["--quick"] if options.quick else [])]
        importlib.import_module(name).main()
        runs.append({"benchmark": name, "load": load, "seconds": round(time.perf_counter() - start, 1), "rows": list(RECORDS)})
    record = {"environment": describe(), "cores": os.cpu_count(), "quick": options.quick, "runs": runs}
    write_atomically(options.record, json.dumps(record, indent=1) + "\n")
    missed = [row["name"] for run in runs for row in run["rows"] if row["goal"] and row["ratio"] > row["goal"]]
    print(f"recorded in {options.record}; goals missed: {len(missed)}", *missed, sep="\n  ")


if __name__ == "__main__":
    main()
