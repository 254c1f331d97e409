"""The main screen: panes, layout, navigation, titles, status bar, notifications."""
