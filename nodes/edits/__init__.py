"""What is done to a finished run in the scene: moved, split, built anew."""
