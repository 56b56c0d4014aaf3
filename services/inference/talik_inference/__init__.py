"""The producer: imagery in, inventory editions out."""
