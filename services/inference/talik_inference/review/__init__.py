"""Experts look at what a model proposed: what to look at first, on what pictures, in what file, and what came of it."""
