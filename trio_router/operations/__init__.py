"""What people see and order: status, pages, logs, metrics."""
