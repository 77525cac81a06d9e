"""What operators see: status, pages, logs, totals. Nothing here decides about a session."""
