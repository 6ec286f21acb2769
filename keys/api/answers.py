"""What `/v1/auth` and `/v1/verify` answer, as a WSGI server takes it.

The views say the same by REST framework; here an answer can be made once and given often.
"""

from functools import cache
from http import HTTPStatus
from typing import NamedTuple

from django.conf import settings
from django.utils import timezone, translation
from rest_framework.exceptions import APIException, NotAuthenticated
from rest_framework.renderers import JSONRenderer

from keys import rates
from keys.api.authentication import KeyAuthentication
from keys.api.dialects.native.dialect import Native
from keys.api.dialects.native.verdicts import verdict_data
from keys.api.dialects.native.verification import identity_headers, refuse
from keys.api.errors import RETRY_AFTER_SECONDS, Failure, describe
from keys.services import Verdict
from keys.verification import Code, Question


class Answer(NamedTuple):
    """A response: its status line, its headers and its body."""

    status: str
    headers: list[tuple[str, str]]
    body: list[bytes]


_NO_STORE = ("Cache-Control", "no-store")


def of_proxy(verdict: Verdict, status: int) -> Answer:
    """Return what a proxy is answered: who the key is, with this status, or a refusal."""
    with translation.override(settings.LANGUAGE_CODE):
        try:
            refuse(verdict)
        except APIException as error:
            return of_failure(error)
    # There is no body; only a 204 says so by itself.
    length = {"Content-Length": "0"} if status == HTTPStatus.OK else {}
    headers = {**length, **identity_headers(verdict.entry), **rates.headers(verdict.rates)}
    return Answer(_line(HTTPStatus(status)), [_NO_STORE, *headers.items()], [])


def of_question(verdict: Verdict, question: Question) -> Answer:
    """Return what the asker of a question is told."""
    return _json(HTTPStatus.OK, verdict_data(verdict, question))


@cache
def of_wrong_key() -> Answer:
    """Return the refusal of what is no key, or one of which nothing else is to be said."""
    return of_proxy(Verdict(Code.NOT_FOUND), HTTPStatus.NO_CONTENT)


@cache
def of_nobody() -> Answer:
    """Return the refusal of a request that presents no key."""
    return of_failure(NotAuthenticated())


@cache
def of_unknown() -> Answer:
    """Return what the asker is told of a key that is not its organization's."""
    return _json(
        HTTPStatus.OK, verdict_data(Verdict(Code.NOT_FOUND), Question(timezone.now(), None))
    )


@cache
def of_our_failure() -> Answer:
    """Return what is answered when something is wrong on our side: it is to be asked again."""
    failure = Failure(503, "error", "Something went wrong on our side.")
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return _json(HTTPStatus.SERVICE_UNAVAILABLE, Native.error_body(failure, None), headers)


def of_failure(error: APIException) -> Answer:
    """Return a failure in the native words."""
    with translation.override(settings.LANGUAGE_CODE):
        headers = dict(getattr(error, "headers", {}))
        if error.status_code == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = KeyAuthentication().authenticate_header(None)
        if wait := getattr(error, "wait", None):
            headers["Retry-After"] = str(int(wait))
        body = Native.error_body(describe(error), None)
    return _json(HTTPStatus(error.status_code), body, headers)


def _json(status: HTTPStatus, data: object, headers: dict[str, str] | None = None) -> Answer:
    body = JSONRenderer().render(data)
    described = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return Answer(_line(status), [_NO_STORE, *described, *(headers or {}).items()], [body])


def _line(status: HTTPStatus) -> str:
    return f"{status.value} {status.phrase}"
