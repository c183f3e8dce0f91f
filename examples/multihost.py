"""One model, two processes: each reads its own rows, both end with the same result.

Run it with ``python examples/multihost.py``: it starts itself twice on this machine. On real hosts start it once on
each, with the address of the first, the number of hosts, and the number of this one:
``python examples/multihost.py 10.0.0.1:9999 2 0``. docs/multihost.md says more.
"""

import os
import socket
import subprocess
import sys

import numpy as np
import pandas as pd


def own_rows(process: int) -> pd.DataFrame:
    """What would be this host's files: visits to shops of its own region, 20,000 a host."""
    rng = np.random.default_rng(process)
    n = 20_000
    region = np.array(["north", "south", "east", "west"])[process % 4]
    data = pd.DataFrame({"minutes": rng.gamma(2.0, 10.0, n), "member": rng.random(n) < 0.3, "region": region})
    eta = -2.0 + 0.04 * data["minutes"] + 0.8 * data["member"] + 0.3 * (region == "south")
    data["bought"] = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int)
    return data


def fit(address: str, size: int, process: int) -> None:
    """What every process does."""
    import jax

    # On CPUs the processes talk through gloo; GPUs need no such line.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, size, process, heartbeat_timeout_seconds=20)
    import jaxglm as jg

    mine = own_rows(process)
    res = jg.glm("bought ~ minutes + member + region", mine, family="binomial", devices="all", cov="HC1")
    # Values of rows are of the own ones; everything else is the same everywhere, so one process prints it.
    print(f"process {process}: {len(mine):,} rows of {res.nobs:,.0f}, mean fitted value {res.fittedvalues.mean():.4f}")
    if process == 0:
        print(res.summary())


def launch(size: int = 2) -> int:
    """Start this file once a process; what they print comes out in their order."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    commands = [[sys.executable, __file__, address, str(size), str(k)] for k in range(size)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for command in commands]
    for process in started:
        print(process.communicate()[0], end="")
    return max(abs(process.returncode) for process in started)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        fit(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(launch())
