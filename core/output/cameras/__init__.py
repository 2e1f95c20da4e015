"""Files of cameras that other programs read and write. None of them knows more of the add-on than numbers."""
