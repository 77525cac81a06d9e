"""Routers written for the comparison, each a program of its own: `python -m bench.routers.NAME PORT REPLICA_PORT`."""
