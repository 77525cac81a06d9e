"""The wait queue, and which replica served a client last. Nothing in here waits."""
