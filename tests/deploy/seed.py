"""Make the database of a portal that gateways ask; print the secrets of its keys as JSON."""

import json
import sys

import django


def main() -> None:
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    secrets = {name: issue(name, fields) for name, fields in KEYS.items()}
    json.dump(secrets, sys.stdout)


# Clients of the tests are 127.0.0.7, 127.0.0.8 and so on; gateways are 127.0.0.1.
KEYS = {
    "open": {},
    "without READ": {"scopes": ["CREATE"]},
    "spent": {"limit": 0, "limit_reset": "daily"},
    "revoked": {},
    "of client 7": {"allowed_ips": ["127.0.0.7"]},
    "of the gateway": {"allowed_ips": ["127.0.0.1"]},
    "of somewhere else": {"allowed_ips": ["203.0.113.7"]},
}


def issue(name: str, fields: dict) -> str:
    """Issue a key of the organization `acme`; return its secret."""
    from keys import services
    from keys.models import Organization, User
    from keys.policy import OPERATOR

    acme = Organization.objects.filter(slug="acme").first()
    if acme is None:
        owner = User.objects.create_user("owner@acme.example", "not to sign in with")
        acme = services.create_organization(actor=OPERATOR, name="Acme", slug="acme", owner=owner)
    key = services.issue_key(
        actor=OPERATOR,
        organization=acme,
        owner=acme.members.get(),
        name=f"Key {name}",
        **{"scopes": ["READ"]} | fields,
    )
    secret = key.secret
    if name == "revoked":
        services.revoke_key(actor=OPERATOR, key=key)
    return secret


main()
