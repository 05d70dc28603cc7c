"""A dask scheduler and worker processes of one thread each; prints the address, and ends with its standard input."""

import json
import sys

from distributed import Client, LocalCluster

if __name__ == "__main__":
    settings = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "memory_limit": 0}
    with LocalCluster(n_workers=int(sys.argv[1]), **settings) as cluster, Client(cluster) as client:
        client.wait_for_workers(int(sys.argv[1]))
        sys.stdout.write(json.dumps(cluster.scheduler_address) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
