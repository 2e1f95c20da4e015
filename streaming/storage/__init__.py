"""What a streaming run has on disk."""
