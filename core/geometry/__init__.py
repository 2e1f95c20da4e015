"""Cameras, similarities, and which way is up. Arrays in, arrays out."""
