"""The one trainer: pieces, steps, per-pair state, checkpoint and exact resume."""
