"""DA3 Streaming: long sequences chunk by chunk in bounded memory, with their loops closed. No bpy here."""
