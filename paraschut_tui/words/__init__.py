"""What the screens say, as text."""
