"""The commands of the producer."""
