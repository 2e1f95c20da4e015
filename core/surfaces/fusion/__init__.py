"""One surface from many depth maps; ``core/surfaces/fused_surface.py`` puts the steps together."""
