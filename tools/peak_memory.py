"""How much memory this process has held at its highest."""

import resource
from pathlib import Path


def highest_mib() -> float:
    """MiB of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's size too, from before the new process was one
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
