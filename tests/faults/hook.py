"""Adds a webhook to the cast's organization: `python -m tests.faults.hook URL`."""

import sys


def main() -> None:
    import django

    django.setup()
    from keys import services
    from keys.models import Organization
    from keys.policy import OPERATOR

    acme = Organization.objects.get(slug="acme")
    services.create_webhook(actor=OPERATOR, organization=acme, url=sys.argv[1])


if __name__ == "__main__":
    main()
