"""The process that computes: what is said on the wire, the side of Blender (client) and the side of the models (server)."""
