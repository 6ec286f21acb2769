"""Request bodies: JSON that every database can store, and nothing else."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class StrictJSONParser(JSONParser):
    """Parses JSON; refuses what Python takes but nobody can store or send on."""

    def parse(self, stream, media_type=None, parser_context=None) -> Any:
        try:
            data = super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError(_("JSON is nested too deeply.")) from None
        _refuse_surrogates(data)
        return data


def _refuse_surrogates(data: Any) -> None:
    # `"\ud800"` is JSON, but half a character: no UTF-8 holds it.
    pending = [data]
    while pending:
        match pending.pop():
            case str() as text:
                try:
                    text.encode()
                except UnicodeEncodeError:
                    raise ParseError(_("JSON holds half a surrogate pair.")) from None
            case list() as items:
                pending.extend(items)
            case dict() as members:
                pending.extend(members)
                pending.extend(members.values())
