"""Whatever goes wrong under a vendor's path answers in that vendor's envelope."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core import signals
from django.core.exceptions import (
    NON_FIELD_ERRORS,
    ObjectDoesNotExist,
    PermissionDenied,
    SuspiciousOperation,
)
from django.core.exceptions import ValidationError as DomainError
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from psycopg.errors import ReadOnlySqlTransaction
from redis.exceptions import RedisError
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler as rest_framework_handler

from keys.board import StateError
from keys.journal import JournalFull
from keys.services.enforcing import ApprovalRequiredError

logger = logging.getLogger(__name__)

# The disk is full, or the database is away or busy, or Redis: asked again soon, it may go well.
_PASSING = (JournalFull, StateError, OperationalError, InterfaceError, RedisError)
RETRY_AFTER_SECONDS = 5


def may_pass(error: BaseException | None) -> bool:
    """Say whether what went wrong may go well when it is asked again soon."""
    # The database only reads: it is a standby since a failover, or its host found its disk full.
    is_read_only = isinstance(error, InternalError) and isinstance(
        error.__cause__, ReadOnlySqlTransaction
    )
    return is_read_only or isinstance(error, _PASSING)


@dataclass(frozen=True)
class Failure:
    """What went wrong, before a dialect words it: `fields` are (path on the wire, message)."""

    status: int
    code: str
    message: str
    fields: tuple[tuple[str, str], ...] = ()


class BodyTooLarge(exceptions.APIException):
    """The request body is larger than the portal reads."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"

    def __init__(self, length: int, limit: int) -> None:
        self.length = length
        self.limit = limit
        super().__init__(
            _("The request body of %(length)d bytes exceeds the limit of %(limit)d.")
            % {"length": length, "limit": limit}
        )


class LengthRequired(exceptions.APIException):
    """The request body does not say how long it is; REST framework would not read it at all."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = _lazy("Send the body with a Content-Length.")


class ApprovalRequired(exceptions.APIException):
    """Somebody else has to approve this; native clients ask for it by another operation."""

    status_code = status.HTTP_403_FORBIDDEN
    default_code = "approval_required"


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Answer any exception in the words of the view's dialect."""
    view = context["view"]
    known = _translate(error, view)
    # REST framework's own handler sets WWW-Authenticate, Retry-After and the rollback.
    response = rest_framework_handler(known, context)
    if response is None:
        _report(error, context["request"])
        response = rest_framework_handler(exceptions.APIException(), context)
        if may_pass(error):
            response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
            response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        failure = Failure(response.status_code, "error", _("Something went wrong on our side."))
    else:
        failure = describe(known)
        for name, value in getattr(known, "headers", {}).items():
            response.headers[name] = value
    return view.word_failure(response, failure)


def _translate(error: Exception, view) -> Exception:
    match error:
        case DomainError():
            return exceptions.ValidationError(to_wire(error, view.error_serializer()))
        case ObjectDoesNotExist():
            return exceptions.NotFound()
        case Http404():
            return exceptions.NotFound()
        case ApprovalRequiredError():
            return ApprovalRequired(str(error))
        case PermissionDenied():
            return exceptions.PermissionDenied(str(error) or None)
        case SuspiciousOperation():
            # Too many parameters, for example: Django says so in words for its log only.
            return exceptions.ParseError(_("The request is malformed."))
    return error


def to_wire(error: DomainError, serializer: BaseSerializer | None) -> dict[str, Any]:
    """Return a domain error as REST framework words its own, under the wire's names.

    The names are read off the serializer (`source=`), so nobody keeps a second table.
    """
    if not hasattr(error, "error_dict"):
        return {api_settings.NON_FIELD_ERRORS_KEY: error.messages}
    names = _wire_names(serializer)
    detail: dict[str, Any] = {}
    for field, problems in error.error_dict.items():
        name = names.get(field, field)
        if field == NON_FIELD_ERRORS:
            name = api_settings.NON_FIELD_ERRORS_KEY
        for problem in problems:
            index = (problem.params or {}).get("index") if problem.params else None
            if index is None:
                detail.setdefault(name, []).extend(_worded(problem))
            else:
                detail.setdefault(name, {}).setdefault(index, []).extend(_worded(problem))
    return detail


def flatten(detail: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, message) of REST framework's nested error detail: `allowed_ips.1`."""
    match detail:
        case dict():
            for name, inner in detail.items():
                if name == api_settings.NON_FIELD_ERRORS_KEY:
                    yield from flatten(inner, path)
                else:
                    yield from flatten(inner, f"{path}.{name}" if path else str(name))
        case list():
            for index, inner in enumerate(detail):
                if isinstance(inner, dict):
                    yield from flatten(inner, f"{path}.{index}" if path else str(index))
                else:
                    yield from flatten(inner, path)
        case _:
            yield path, detail


def _worded(problem: DomainError) -> list[exceptions.ErrorDetail]:
    return [exceptions.ErrorDetail(text, problem.code) for text in problem.messages]


def _wire_names(serializer: BaseSerializer | None) -> dict[str, str]:
    fields = getattr(serializer, "fields", {})
    return {field.source: name for name, field in fields.items() if not field.read_only}


def describe(error: Exception) -> Failure:
    """Return what a dialect is to word of REST framework's own exception."""
    if isinstance(error, exceptions.ValidationError):
        fields = tuple(flatten(error.detail))
        message = next(iter(fields), ("", str(error)))[1]
        # Some vendors tell apart what is wrong and what is taken.
        is_duplicate = any(getattr(text, "code", None) == "duplicate" for _path, text in fields)
        code = "duplicate" if is_duplicate else "invalid"
        return Failure(error.status_code, code, message, fields)
    assert isinstance(error, exceptions.APIException)  # noqa: S101
    return Failure(error.status_code, error.default_code, str(error.detail))


def _report(error: Exception, request) -> None:
    logger.error("Unhandled error in %s %s", request.method, request.path, exc_info=error)
    signals.got_request_exception.send(sender=None, request=getattr(request, "_request", None))
