"""Collections, materials and node trees: what objects are made with."""
