"""The JSON door: five vendors' dialects over one core."""
