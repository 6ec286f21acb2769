"""What the vendors' OpenAPI documents say beyond their dialects' code: a module per vendor.

A module annotates the views of its own dialect: the vendor's names of operations, envelopes
as they are on the wire, descriptions. Importing it makes drf-spectacular know.
"""

from keys.api.documents import i3d, native, netography, openrouter, xyra

__all__ = ["i3d", "native", "netography", "openrouter", "xyra"]
