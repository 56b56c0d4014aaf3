"""The service: editions and imagery over HTTP, read from the store alone."""
