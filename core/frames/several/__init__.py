"""Several inputs as one: files, folders and videos of one place."""
