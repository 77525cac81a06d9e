"""What comes before frames: the handshake with a client, and ordinary HTTP."""
