"""What moves between the frames."""
