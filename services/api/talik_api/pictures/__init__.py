"""Imagery for the eye: chips, time-lapses and map tiles, made from the store's own imagery and editions."""
