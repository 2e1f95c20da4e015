"""Passes brought to each other, to metres, and to cameras that are known."""
