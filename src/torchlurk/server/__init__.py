"""Studies over HTTP: the tree of resources, what changes while a stage runs, and the web app."""
