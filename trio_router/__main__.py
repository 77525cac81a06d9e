"""``python -m trio_router`` is ``trio-router``."""

from __future__ import annotations

from trio_router.cli.main import main

main(prog_name="trio-router")
