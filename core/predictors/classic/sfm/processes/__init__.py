"""The child processes of structure from motion: scripts, and the files beside them that they import by name alone."""
