"""Bytes to and from the terminal, flow control, keys in turn, and everything undocumented of Textual."""
