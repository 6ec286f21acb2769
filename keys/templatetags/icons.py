"""Icons of the heroicons library, each drawn once: pages repeat the same few in every row."""

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
