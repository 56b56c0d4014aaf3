"""Training, evaluation and the review loop; torch lives here and nowhere else."""
