"""What the relay decides about frames, pure: which go on, what is kept for another replica."""
