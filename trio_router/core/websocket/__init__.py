"""WebSocket bytes (RFC 6455): single frames, their boundaries, the buffer of one direction."""
