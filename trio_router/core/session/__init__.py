"""The life of a session, pure: its phases, how it ends, and what each side is sent then."""
