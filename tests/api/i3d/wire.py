"""What the wire of i3D.net looks like, for the tests of it."""

from keys import policy, services
from keys.models import Role

KEYS = "/v3/account/apiKey"
FIELDS = {"id", "category", "key", "note", "assignOdpServerIps", "used", "expiresAt"}
ENTRY = {"id", "ipStart", "ipEnd", "ipRange", "comments", "active", "updatedAt"}
IN_2033 = 2_000_000_000


NOT_FOUND = {"errorCode": 10001, "errorMessage": "Entity not found", "errors": []}
FORBIDDEN = {"errorCode": 10403, "errorMessage": "Invalid credentials", "errors": []}


def wrong(response) -> dict[str, str]:
    """Return {property: message} of a 422, having checked its envelope."""
    body = response.json()
    assert response.status_code == 422, response.content
    assert set(body) == {"errorCode", "errorMessage", "errors"}
    assert body["errorCode"] == 10422
    assert body["errorMessage"]
    return {each["property"]: each["message"] for each in body["errors"]}


def custom_role(organization, number, codes=(), name="ops") -> Role:
    """Return a role of the organization's own, with scopes of its own."""
    scopes = [
        services.create_scope(actor=policy.OPERATOR, organization=organization, code=code)
        for code in codes
    ]
    return services.create_role(
        actor=policy.OPERATOR, organization=organization, name=name, number=number, scopes=scopes
    )
