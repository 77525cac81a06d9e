"""Who gets a slot, who waits, and what a session is known by."""
