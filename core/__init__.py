"""What the add-on computes. Nothing in here imports bpy."""
