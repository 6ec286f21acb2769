"""Files of keys: what stands in them, in our words and in those of other systems."""
