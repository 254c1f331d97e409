"""The dashboard in a browser: a small web server, and a dashboard process for each tab (extra `web`)."""
