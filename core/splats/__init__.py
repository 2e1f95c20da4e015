"""Refine Splats: a run's splats fitted to its photographs (docs/splats.md)."""
