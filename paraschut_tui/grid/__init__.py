"""What the grid shows, without a screen: which jobs, where, how drawn."""
