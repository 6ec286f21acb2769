"""What commands are told in words: whose, in which role; and how they say what is wrong."""

import unicodedata
from argparse import ArgumentTypeError

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import CommandError

from keys.models import Organization, Role, User, Workspace


def text(value: str) -> str:
    """Return an argument that every database can store."""
    # Bytes that are no UTF-8 arrive as lone surrogates (Cs), which no database stores.
    if any(unicodedata.category(character) in ("Cs", "Cc") for character in value):
        raise ArgumentTypeError(f"{value!r} holds control characters or is not UTF-8")
    return value


def find_organization(slug: str) -> Organization:
    """Return the organization of that short name. Raises CommandError."""
    organization = Organization.objects.filter(slug=slug).first()
    if organization is None:
        raise CommandError(f"organization: There is no organization {slug!r}.")
    return organization


def find_person(email: str | None) -> User | None:
    """Return the person with that address; None where none is given. Raises CommandError."""
    if email is None:
        return None
    person = User.objects.filter(email__iexact=email).first()
    if person is None:
        raise CommandError(f"owner: Nobody here has the address {email!r}.")
    return person


def find_role(organization: Organization, name: str | None) -> Role | None:
    """Return the role of that name; None where none is given. Raises CommandError."""
    if name is None:
        return None
    role = Role.objects.available_to(organization).filter(name=name).first()
    if role is None:
        raise CommandError(f"role: This organization has no role {name!r}.")
    return role


def find_workspace(organization: Organization, name: str | None) -> Workspace | None:
    """Return the workspace of that name; None where none is given. Raises CommandError."""
    if name is None:
        return None
    workspace = organization.workspaces.filter(name=name).first()
    if workspace is None:
        raise CommandError(f"workspace: This organization has no workspace {name!r}.")
    return workspace


def one_line(error: ValidationError) -> str:
    """Return all that a service finds wrong as one line."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(
        message if field == NON_FIELD_ERRORS else f"{field}: {message}"
        for field, messages in error.message_dict.items()
        for message in messages
    )
