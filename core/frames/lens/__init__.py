"""Lenses that bend straight lines, as far as they are known: undone before any model sees the images."""
