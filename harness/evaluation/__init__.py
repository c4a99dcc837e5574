"""Scores, ranks and recalls, and the quality of correspondence labels."""
