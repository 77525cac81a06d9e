"""One config wired into one nursery: accept connections, tell them apart, drain."""
