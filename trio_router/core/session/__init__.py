"""The life of a session, pure: its phases, how it ends, what each side is told."""
