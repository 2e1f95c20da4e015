"""Locks, files written whole, the user's cache. Standard library only."""
