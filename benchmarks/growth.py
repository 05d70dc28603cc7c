"""Time against floats and against processes: a record, and the picture of it in docs.

python benchmarks/growth.py                 # 2^16 to 2^30 floats; 1 and 2 processes on 2^30
python benchmarks/growth.py --most 32       # as far as every float there is
python benchmarks/growth.py --draw          # only the picture, from the record
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from losscheck.core.dtypes import FLOAT32
from losscheck.core.files import write_atomically

RECORD = Path(__file__).with_name("growth.json")
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "sweep_speed.svg"
LOW = -(2.0**100)
LIMIT = 300.0  # seconds of processor time; what would take longer is not begun


def sweep(power: int, jobs: int) -> dict[str, float]:
    """Seconds by the wall and of processor time of one whole command over 2^power floats, loss and gradient, and the load before it."""
    words = ["-m", "losscheck", "sweep", "--loss", "bce", "--impl", "torch-bce-with-logits", "--exhaustive", "--target", "0", "-q"]
    words += ["--range", LOW.hex(), FLOAT32.neighbour(LOW, 2**power - 1).hex(), "--jobs", str(jobs)]
    load, start = os.getloadavg()[0], time.perf_counter()
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, start_new_session=True) as process:
        seconds: dict[str, float] = {}
        while process.poll() is None:
            seconds |= processor_seconds_of(process.pid)
            time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(f"the sweep ended with {process.returncode}")
    return {"power": power, "jobs": jobs, "wall": time.perf_counter() - start, "processor": sum(seconds.values()), "load": load}


def processor_seconds_of(group: int) -> dict[str, float]:
    """User and system seconds of each living process of a group: nobody waits for the workers of a fork server."""
    seconds, tick = {}, os.sysconf("SC_CLK_TCK")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[2]) == group:
            seconds[stat.parent.name] = (int(fields[11]) + int(fields[12])) / tick
    return seconds


def measure(most: int) -> None:
    rows: list[dict[str, float]] = []
    for power in range(16, most + 1, 2):
        if rows and 4 * rows[-1]["processor"] > LIMIT:
            print(f"2^{power} floats would take more than {LIMIT:.0f} s: not begun")
            break
        rows.append(sweep(power, 1))
        print(rows[-1], flush=True)
    for jobs in (2, 4, 8, 16, 32):
        if jobs <= (os.cpu_count() or 1):
            rows.append(sweep(int(rows[-1]["power"]), jobs))
            print(rows[-1], flush=True)
    write_atomically(RECORD, json.dumps(rows, indent=1) + "\n")


def draw() -> None:
    """Two panels: seconds against floats, and against processes, each beside the straight line."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "losscheck"}  # words as words, and the same file each time
    rows = json.loads(RECORD.read_text())
    growth = {row["power"]: row for row in rows if row["jobs"] == 1}
    cores = {row["jobs"]: row for row in rows if row["power"] == max(growth)}
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog([2**power for power in growth], [row["processor"] for row in growth.values()], "o-", base=2, label="processor seconds")
    left.set(xlabel="floats, loss and gradient", ylabel="seconds of the whole command", title="One process")
    right.plot(list(cores), [row["wall"] for row in cores.values()], "o-", label="by the wall")
    right.plot(list(cores), [row["processor"] for row in cores.values()], "s--", label="processor seconds of all")
    right.set(xlabel="--jobs", xticks=list(cores), ylim=(0, None), title=f"2^{max(growth)} floats")
    right.legend()
    figure.savefig(PICTURE, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--most", type=int, default=30, metavar="POWER")
    parser.add_argument("--draw", action="store_true")
    options = parser.parse_args()
    if not options.draw:
        measure(options.most)
    draw()


if __name__ == "__main__":
    main()
