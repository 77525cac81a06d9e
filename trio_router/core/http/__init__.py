"""HTTP bytes before the first frame: heads, the opening handshake, and connection limits. No I/O."""
