"""The tags of the library of that name, with each icon drawn once: rows repeat the same few."""

from functools import lru_cache

from django import template
from heroicons.templatetags import heroicons

register = template.Library()

# More than all pages show, in all of their sizes.
_MOST_KEPT = 512

for _draw in (
    heroicons.heroicon_micro,
    heroicons.heroicon_mini,
    heroicons.heroicon_outline,
    heroicons.heroicon_solid,
):
    register.simple_tag(lru_cache(_MOST_KEPT)(_draw), name=_draw.__name__)
