"""What is drawn, one file a kind of figure; matplotlib is imported nowhere else."""
