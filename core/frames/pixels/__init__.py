"""What is in a picture's file: its kind, its numbers, and the colours that they stand for. Knows nothing of inputs and frames."""
