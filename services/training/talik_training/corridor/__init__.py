"""A *simulated* permafrost corridor with known thaw slumps: the ground on which the review loop is proven."""
