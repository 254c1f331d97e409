"""What goes to the terminal: few bytes, safe ones, no more than it takes."""
