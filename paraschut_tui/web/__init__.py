"""The dashboard in a browser: a small web server, a dashboard process for each tab (extra `web`)."""
