"""OGC API Features: which rows of which editions, in which order."""
