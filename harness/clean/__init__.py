"""The wrong pairs out of one's own pictures and captions: `harness clean`."""
