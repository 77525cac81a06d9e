"""Sockets: one poller, one task for all timers, accepting, TLS, connections. Nothing in here knows sessions or replicas."""
