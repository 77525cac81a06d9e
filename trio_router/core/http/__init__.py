"""HTTP bytes before the first frame: heads, and the opening handshake."""
