"""Start many cells and bring them to their end. An engine only starts `harness cell FINGERPRINT`."""
