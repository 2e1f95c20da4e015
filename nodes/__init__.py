"""From arrays to Blender: objects, node trees, materials, cameras. Imports bpy, and neither torch nor cv2.

``assembly`` is where to start: ``begin``, ``batch_steps``, ``end``.
"""
