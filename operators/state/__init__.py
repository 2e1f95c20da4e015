"""What the add-on knows: its settings, places and session, and what a run still lacks. Knows no job."""
