"""Making jobs and their files: templates, scripts, data files, clean-up."""
