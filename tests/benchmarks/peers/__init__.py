"""One DRF view behind Django's usual middleware, authenticated by ours and by others' keys."""
