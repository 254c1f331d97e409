"""What the dashboard remembers between sessions."""
