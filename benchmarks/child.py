"""One measured call in a process of its own: `python -m benchmarks.child module:function`.

Standard library only, so that it also runs in a peer's environment. Imports at the top of the
called module are not counted, imports inside the function are.
"""

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path


def cpu_seconds() -> float:
    """CPU time of this process, all threads, and of the children it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_bytes() -> int:
    """Largest resident set of this process or of one child it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    status = Path("/proc/self/status")
    if not status.exists():
        return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, children)
    # ru_maxrss of a spawned process also counts its parent's peak before exec; VmHWM does not.
    own = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return max(int(own.split()[1]) * 1024, children)


def main() -> None:
    """Call the function with the JSON arguments on stdin; write the figures to `$MEASURED`."""
    module, name = sys.argv[1].split(":")
    function = getattr(importlib.import_module(module), name)
    arguments = json.load(sys.stdin)
    cpu, wall = cpu_seconds(), time.perf_counter()
    value = function(**arguments)
    measured = {
        "value": value,
        "cpu_seconds": cpu_seconds() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "peak_bytes": peak_bytes(),
    }
    Path(os.environ["MEASURED"]).write_text(json.dumps(measured))


if __name__ == "__main__":
    main()
