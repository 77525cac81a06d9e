"""What the kernel says about other processes: CPU time, memory, children.

Rules: Linux only, standard library only, no process is started or signalled from here. CPU time is the
process's own clock (`CLOCK_PROCESS_CPUTIME_ID` of another pid, nanoseconds, all threads, those that have
ended too); it is the same counter that /proc/PID/stat shows as utime + stime in ticks of 10 ms, without the
rounding. The split into user and system time is only in /proc/PID/stat and is therefore given in ticks.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2  # include/linux/posix-timers_types.h: the low bits of a dynamic clock id


@dataclass(frozen=True)
class Cpu:
    """CPU time in seconds: `total` is exact, `user` and `system` are rounded to kernel ticks."""

    total: float = 0.0
    user: float = 0.0
    system: float = 0.0

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.total + other.total, self.user + other.user, self.system + other.system)

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.total - other.total, self.user - other.user, self.system - other.system)

    def as_dict(self) -> dict[str, float]:
        return {key: round(value, 6) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Memory:
    """Memory in bytes: resident, proportional share, and private (the pages no other process maps)."""

    rss: int = 0
    pss: int = 0
    private: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.rss + other.rss, self.pss + other.pss, self.private + other.private)


def process_tree(pid: int) -> list[int]:
    """`pid` and all its living descendants; a process that ends meanwhile is left out."""
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        for children in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                queue.extend(int(child) for child in children.read_text().split())
            except OSError:
                continue
    return found


def cpu_of(pids: Iterable[int]) -> Cpu:
    """CPU time used so far by these processes together; one that has ended counts nothing."""
    return sum((_cpu(pid) for pid in pids), Cpu())


def _cpu(pid: int) -> Cpu:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user, system = int(fields[11]) / _TICKS_PER_SECOND, int(fields[12]) / _TICKS_PER_SECOND
    except (OSError, IndexError):
        return Cpu()
    try:
        total = time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        total = user + system
    return Cpu(total, user, system)


def machine_busy() -> float:
    """CPU seconds that all processes of the machine have used since it was started, in ticks."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_SECOND


def memory_of(pids: Iterable[int]) -> Memory:
    """Memory of these processes together, from smaps_rollup (kernel memory of sockets is not in it)."""
    return sum((_memory(pid) for pid in pids), Memory())


def _memory(pid: int) -> Memory:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return Memory()
    kib = {key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines)}
    private = kib.get("Private_Clean", 0) + kib.get("Private_Dirty", 0)
    return Memory(kib.get("Rss", 0) * 1024, kib.get("Pss", 0) * 1024, private * 1024)


def raise_file_limit() -> int:
    """Lift this process's soft limit of open files to the hard one; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
