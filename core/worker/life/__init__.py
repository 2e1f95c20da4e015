"""How a worker lives and ends: its variables, private folder, heartbeat, silence, memory. Standard library only."""
