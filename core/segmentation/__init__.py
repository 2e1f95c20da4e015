"""Things with names, found and followed through the frames."""
