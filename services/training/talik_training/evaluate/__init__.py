"""How well models agree with labels: by pixel, by object, at the boundary, and as probabilities."""
