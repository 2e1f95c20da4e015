"""What an option is, and what the choices among several are called. The options themselves: ``core/settings.py``."""
