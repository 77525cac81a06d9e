"""One client's life: its handshake, its replica, its outcome."""
