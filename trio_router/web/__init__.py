"""What operators see over HTTP: a Quart-trio app. It is given a registry and a few callables; it knows no sockets."""

from __future__ import annotations

from .pages import View, make_app

__all__ = ["View", "make_app"]
