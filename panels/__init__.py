"""What the person sees and sets. Imports bpy, and neither torch nor cv2."""
