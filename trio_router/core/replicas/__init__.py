"""The replicas, what is known of each, and which one is chosen. Nothing in here waits."""
