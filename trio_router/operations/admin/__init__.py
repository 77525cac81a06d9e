"""The admin API: what operators see and order at run time, over HTTP on an address or a socket of its own.

`app` puts it together: `access` says who asks, `routes` what there is and who may, `control` does it, `feed` tells what
happens, `openapi` describes it, `problems` words what goes wrong (RFC 9457).
"""

from __future__ import annotations

from trio_router.operations.admin.app import make_admin_app
from trio_router.operations.admin.control import Control

__all__ = ["Control", "make_admin_app"]
