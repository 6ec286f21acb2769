"""Serializer fields that take JSON at its word: a number is no text, a text no number."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from keys import policy
from keys.models import APIKey
from keys.models.fields import AMOUNT_PLACES, MAX_AMOUNT


class Text(serializers.CharField):
    """A JSON string. REST framework's own field takes numbers for one as well."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    """A JSON boolean. REST framework's own field takes 1 and "yes" for one as well."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Integer(serializers.IntegerField):
    """A JSON number without a fraction. REST framework's own field takes "5" and 5.0 as well."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class Note(serializers.Field):
    """The one text that a vendor has for a key: its description, whose first line names it.

    `text` validates it; without one the key is named `otherwise`. A name that was given
    elsewhere stays when the text changes.
    """

    def __init__(self, *, otherwise: str, text: Text | None = None, **kwargs: Any) -> None:
        self.otherwise = otherwise
        self.text = text or Text(max_length=500, allow_blank=True, trim_whitespace=False)
        super().__init__(source="*", required=False, allow_null=True, **kwargs)

    def get_default(self) -> dict[str, str]:
        if self.parent.instance is not None:
            raise serializers.SkipField
        return {"name": self.otherwise}

    def to_internal_value(self, data: Any) -> dict[str, str]:
        description = "" if data is None else self.text.run_validation(data)
        key = self.parent.instance
        if key is not None and key.name != self._name(key.description):
            return {"description": description}
        return {"name": self._name(description), "description": description}

    def to_representation(self, value: APIKey) -> str | None:
        return value.description or None

    def _name(self, text: str) -> str:
        lines = text.strip().splitlines() or [self.otherwise]
        return lines[0].strip()[:200]


class Amount(serializers.DecimalField):
    """A cost or a limit as a JSON number, of at most six decimal places."""

    def __init__(self, **kwargs: Any) -> None:
        bounds = {"min_value": 0, "max_value": MAX_AMOUNT}
        kwargs = kwargs if kwargs.get("read_only") else {**bounds, **kwargs}
        # More digits than these fit no Decimal of the standard context.
        super().__init__(max_digits=28, decimal_places=AMOUNT_PLACES, **kwargs)

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        # REST framework's own takes an empty text for null.
        return serializers.Field.validate_empty_values(self, data)

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)

    def to_representation(self, value: Decimal | None) -> float | None:
        return None if value is None else float(value)


class UTCDateTime(serializers.DateTimeField):
    """An instant as RFC 3339 in UTC with seconds: `2030-01-01T00:00:00Z`, or `+00:00`."""

    default_error_messages = {
        "invalid": _("Use RFC 3339 in UTC with seconds, such as 2030-01-01T00:00:00Z."),
    }
    # Known here, or REST framework asks Django for the zone of each value.
    timezone = UTC
    _PATTERN = re.compile(
        r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|\+00:00)", flags=re.ASCII
    )

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str) or not self._PATTERN.fullmatch(value):
            self.fail("invalid", format="")
        return super().to_internal_value(value.upper())


class VisibleRelated(serializers.PrimaryKeyRelatedField):
    """A row by its primary key; one that the caller may not see is refused as one that is not."""

    def get_queryset(self) -> QuerySet:
        return policy.visible(self.context["request"].user, super().get_queryset())
