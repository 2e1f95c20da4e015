"""What the scenes are made of: shapes, and the pictures on them."""
