"""The overview screen: curves, forecasts, failure reasons."""
