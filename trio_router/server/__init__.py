"""One config wired into one nursery: accept connections, classify them, drain. What a session does belongs to `session`."""
