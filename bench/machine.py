"""What a reader must know of the machine and the versions to judge the figures; no names and no paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from bench.peers.base import REPOSITORY

_PACKAGES = ("picows", "uvloop", "trio", "trio-websocket", "websockets", "uvicorn", "hypercorn", "quart-trio")


def describe() -> dict[str, Any]:
    """Processor, memory, kernel, Python and the packages that take part."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "load_average": os.getloadavg(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def without_paths(text: str, out: Path) -> str:
    """`text` with this machine's directories replaced by what they are."""
    places = {
        str(out): "OUT",
        str(REPOSITORY): "REPO",
        sys.prefix: "VENV",
        str(Path(sys.executable).parent): "VENV/bin",
    }
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place])
    return text


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
