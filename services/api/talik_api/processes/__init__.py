"""OGC API Processes: what can be asked to be computed."""
