"""Gaussian splats of a run's points: their form, which of them are drawn, and their files."""
