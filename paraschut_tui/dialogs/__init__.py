"""Dialogs that several panes open."""
