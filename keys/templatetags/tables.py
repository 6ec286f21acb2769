"""Tables of the pages: their frame, once, around the rows that a page writes."""

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_block_tag(end_name="endtable")
def table(
    content: str, label: str, *heads: str, numbers: str = "", has_actions: bool = False
) -> SafeString:
    """Put rows into a table that becomes a list of cards where the page is narrow.

    `label` is the id of its heading; `numbers` says which columns, counted from 1, hold
    numbers; `has_actions`, whether a last one has buttons.
    """
    columns = [(head, str(place) in numbers.split()) for place, head in enumerate(heads, 1)]
    context = {"label": label, "columns": columns, "has_actions": has_actions, "rows": content}
    return render_to_string("components/table.html", context)
