"""The servers at the back: connecting to them, and probing them."""
