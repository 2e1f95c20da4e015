"""Cameras that keep to each other: the views into a panorama, and cameras that somebody has mounted together."""
