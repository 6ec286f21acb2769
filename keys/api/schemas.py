"""How the API's fields and replies read in OpenAPI, where that cannot be told from their types."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

from drf_spectacular.extensions import (
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
    OpenApiViewExtension,
)
from drf_spectacular.openapi import AutoSchema

from keys.models import APIKey


class AmountSchema(OpenApiSerializerFieldExtension):
    """An amount is a JSON number, not a text as decimals are by default."""

    target_class = "keys.api.fields.Amount"

    def map_serializer_field(self, auto_schema, direction: str) -> dict[str, Any]:
        return {"type": "number", "minimum": 0}


class NoteSchema(OpenApiSerializerFieldExtension):
    """A note is one text, whatever it becomes in a key."""

    target_class = "keys.api.fields.Note"

    def map_serializer_field(self, auto_schema, direction: str) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.target.text.max_length}


class _VendorSchema(AutoSchema):
    def _get_request_body(self, direction: str = "request") -> dict[str, Any] | None:
        # An object without required members is a body, too.
        body = super()._get_request_body(direction)
        return {**body, "required": True} if body else body


class ViewSchema(OpenApiViewExtension):
    """Base of what a view's operations say, each by an `extend_schema`.

    They describe envelope, parameters and pages themselves.
    """

    operations: ClassVar[dict[str, Callable[[Any], Any]]] = {}

    def view_replacement(self) -> type:
        described: dict[str, Any] = {"pagination_class": None, "queryset": APIKey.objects.none()}
        for name, describe in self.operations.items():
            described[name] = describe(_stand_in(getattr(self.target_class, name)))
        return type(self.target_class.__name__, (self.target_class,), described)


class ReplySchema(OpenApiSerializerExtension):
    """Base of what a serializer's replies are: all their members are always there.

    Without it a member that a request may leave out could be missing in a reply, too.
    """

    # The component's name; the serializer's own when empty.
    component: ClassVar[str] = ""
    # Members that a reply may leave out, and those that may be null though no request says so.
    optional: ClassVar[frozenset[str]] = frozenset()
    nullable: ClassVar[frozenset[str]] = frozenset()
    # Members that the serializer's fields do not tell, and whether there are others.
    added: ClassVar[dict[str, Any]] = {}
    is_closed: ClassVar[bool] = False

    def get_name(self, auto_schema, direction: str) -> str | None:
        return self.component or None

    def map_serializer(self, auto_schema, direction: str) -> dict[str, Any]:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        if direction == "request":
            return schema
        properties = {**schema["properties"], **self.added}
        for name in self.nullable:
            properties[name] = nullable(properties[name])
        schema["properties"] = properties
        schema["required"] = [name for name in properties if name not in self.optional]
        if not schema["required"]:
            del schema["required"]
        if self.is_closed:
            schema["additionalProperties"] = False
        return schema


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the same or null."""
    return {**schema, "type": [schema["type"], "null"]}


def _stand_in(method: Callable[..., Any]) -> Callable[..., Any]:
    # What is said of it must not stick to the view itself, nor to views that inherit from it.
    @wraps(method)
    def stand_in(*args, **kwargs):
        return method(*args, **kwargs)

    stand_in.kwargs = {"schema": _VendorSchema}
    return stand_in
