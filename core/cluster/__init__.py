"""Passes on several cards and machines, through Ray: nothing of it is imported, or runs, unless a run asks for it."""
