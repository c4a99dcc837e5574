"""Two runs side by side: what differs, who wins which query, and how sure that is."""
