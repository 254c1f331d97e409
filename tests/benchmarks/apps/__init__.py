"""Small programs that are measured in a terminal."""
