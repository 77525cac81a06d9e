"""What precedes frames: the handshake with a client, and ordinary HTTP. No frame is read or written here."""
