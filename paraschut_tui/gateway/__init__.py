"""What stands behind the one door to the core: threads, requests, actions."""
