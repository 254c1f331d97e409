"""How the work goes, as figures and plots, without a screen."""
