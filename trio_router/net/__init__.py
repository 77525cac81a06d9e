"""Sockets: one poller, one task for all timers, accepting, TLS, connections."""
