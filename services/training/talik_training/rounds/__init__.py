"""Rounds of train, map, review and add, until an expert finds nothing new."""
