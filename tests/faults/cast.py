"""Makes the tables and who plays in them; prints their secrets: `python -m tests.faults.cast`.

With the environment of the portal that it is for. Everything is as services make it.
"""

import json
import sys
from datetime import timedelta
from decimal import Decimal

# So many uses has the key that has few.
FEW = 150


def main() -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.utils import timezone

    from keys import secrets, services
    from keys.models import APIKey, Membership, Organization, Role, User
    from keys.policy import OPERATOR

    def organization(slug: str) -> Organization:
        owner = User.objects.create_user(f"owner@{slug}.example", "not to sign in with")
        return services.create_organization(
            actor=OPERATOR, name=slug.title(), slug=slug, owner=owner
        )

    def issue(where: Organization, name: str, *scopes: str, **fields) -> APIKey:
        return services.issue_key(
            actor=OPERATOR,
            organization=where,
            **{"owner": None, "name": name, "scopes": scopes or ("READ",), **fields},
        )

    call_command("migrate", verbosity=0)
    acme, open_one, closed_one, gone = map(organization, ("acme", "open", "closed", "gone"))
    services.update_organization(actor=OPERATOR, organization=open_one, limiter_failure="allow")
    often = {"rate_limits": [{"amount": 10**6, "period": "hour"}]}
    once = {"rate_limits": [{"amount": 1, "period": "day"}]}
    good = {
        "manager": issue(acme, "Manager", "READ", "CREATE", "UPDATE", "DELETE", "MANAGE"),
        "hot": issue(acme, "Hot"),
        "posted": issue(acme, "Posted"),
        "limited": issue(acme, "Limited", limit=Decimal(10**6)),
        "few": issue(acme, "Few", limit=Decimal(FEW)),
        "open": issue(open_one, "Open", **often),
        "closed": issue(closed_one, "Closed", **often),
        "closed once": issue(closed_one, "Closed once", **once),
    }
    leaver = User.objects.create_user("leaver@acme.example", "not to sign in with")
    developer = Role.objects.get(organization=None, name="developer")
    services.add_member(actor=OPERATOR, organization=acme, user=leaver, role=developer)
    bad = {
        "revoked": issue(acme, "Revoked"),
        "disabled": issue(acme, "Disabled", disabled=True),
        "locked": issue(acme, "Locked"),
        "elsewhere": issue(acme, "Elsewhere", allowed_ips=["192.0.2.0/24"]),
        "to come": issue(acme, "To come", not_before=timezone.now() + timedelta(days=9)),
        "suspended": issue(gone, "Suspended"),
        "left": issue(acme, "Left", owner=leaver),
        "rotated": issue(acme, "Rotated"),
        "revoked, rated": issue(open_one, "Revoked, rated", **often),
    }
    for name in ("revoked", "revoked, rated"):
        services.revoke_key(actor=OPERATOR, key=bad[name])
    services.lock_key(actor=OPERATOR, key=bad["locked"], reason="It was seen in public.")
    services.rotate_key(actor=OPERATOR, key=bad["rotated"])
    services.suspend_organization(actor=OPERATOR, organization=gone)
    services.remove_member(
        actor=OPERATOR, membership=Membership.objects.get(user=leaver, organization=acme)
    )
    presented = {name: key.secret for name, key in bad.items()}
    presented["unknown"] = secrets.generate("native")
    presented["garbage"] = f"{presented['unknown'][:-1]}-"
    told = {
        "organization": acme.pk,
        "keys": {name: [key.pk, key.secret] for name, key in good.items()},
        "intruders": presented,
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
