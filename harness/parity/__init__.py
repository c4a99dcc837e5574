"""Agreement with what the official implementations compute: `harness verify`."""
