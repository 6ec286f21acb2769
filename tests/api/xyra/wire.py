"""What the wire of XyraPanel looks like, for the tests of it."""

import json
import re

KEYS = "/api/account/api-keys"
ADMIN = "/api/admin/api-keys"
HOST = "http://testserver"
ROW = {"identifier", "description", "allowed_ips", "last_used_at", "created_at"}
ADMIN_ROW = {"id", "identifier", "memo", "lastUsedAt", "expiresAt", "createdAt"}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def error(path, status, title, message) -> dict:
    """Return an error as the panel's server words it."""
    return {
        "error": True,
        "url": HOST + path,
        "statusCode": status,
        "statusMessage": title,
        "message": message,
    }


def check(response, expected) -> None:
    """Hold an error against the expected one, to the letter and to the space."""
    assert response.status_code == expected["statusCode"], response.content
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-cache"
    assert response.content.decode() == json.dumps(expected, indent=2)


def invalid(path=KEYS, **problems) -> dict:
    """Return the error for a body with these problems, by field."""
    errors = [{"field": field, "message": message} for field, message in problems.items()]
    message = "Request body validation failed"
    return error(path, 400, "Validation Error", message) | {
        "data": {"message": message, "statusCode": 400, "data": {"errors": errors}}
    }


def not_found(path) -> dict:
    return error(path, 404, "Server Error", "API key not found")


def no_route(path) -> dict:
    sentence = f"Cannot find any path matching {path}."
    return error(path, 404, sentence, sentence)
