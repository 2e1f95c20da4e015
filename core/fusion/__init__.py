"""One surface from many depth maps; ``core/surface.py`` puts the steps together."""
