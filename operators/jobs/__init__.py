"""Long work in small steps: runs, downloads, installations."""
