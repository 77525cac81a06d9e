"""The wait queue, and which replica knows a client."""
