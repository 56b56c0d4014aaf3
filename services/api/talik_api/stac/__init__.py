"""The STAC API over the imagery index and the editions."""
