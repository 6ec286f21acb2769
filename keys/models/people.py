"""People who sign in."""

import unicodedata
from collections.abc import Collection

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

_NAME_FIELDS = ("first_name", "last_name")

# Blank as they are, Unicode calls them letters and symbols.
_BLANK = frozenset("\u115f\u1160\u2800\U0001d159")


def clean_name(name: str) -> str:
    """Return a part of somebody's name in its one spelling; it may be empty.

    Mails and pages show it beside the address, so that ValidationError is raised for what could
    pass for an address, a link, sentences of ours, or no name at all.
    """
    name = unicodedata.normalize("NFKC", name).strip()
    if any(map(_is_unseen, name)) or (name and not any(map(_is_seen, name))):
        raise ValidationError(gettext("Leave out the characters that nobody sees."))
    if "@" in name:
        raise ValidationError(gettext("Leave out the @: others would take it for an address."))
    if "://" in name or "www." in name.lower():
        raise ValidationError(gettext("Leave out links: others would follow them."))
    return " ".join(name.split())


def _is_unseen(character: str) -> bool:
    # Line breaks are among them, and what turns the direction of writing.
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp") or character in _BLANK


def _is_seen(character: str) -> bool:
    return unicodedata.category(character)[0] not in "MZ"


def _as_shown(name: str) -> str:
    # What was stored before names were cleaned, or is by an older release beside this one.
    try:
        return clean_name(name)
    except ValidationError:
        return ""


class UserManager(BaseUserManager["User"]):
    """Creates people by their email address."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields) -> "User":
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, email: str | None) -> "User":
        return self.get(email__iexact=email)


class User(AbstractUser):
    """A person, known by one email address."""

    username = None  # type: ignore[assignment]
    email = models.EmailField(_("email address"), max_length=254, unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []

    objects = UserManager()  # type: ignore[assignment, misc]

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_unique",
                violation_error_message=_("Somebody with this email address exists already."),
            )
        ]

    def __str__(self) -> str:
        return self.email

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Bring names into their one spelling; raise ValidationError by field."""
        problems: dict[str, list[ValidationError]] = {}
        exclude = set(exclude or ())
        for field in set(_NAME_FIELDS) - exclude:
            try:
                setattr(self, field, clean_name(getattr(self, field)))
            except ValidationError as problem:
                problems[field] = problem.error_list
        try:
            super().clean_fields(exclude)
        except ValidationError as others:
            others.update_error_dict(problems)
        if problems:
            raise ValidationError(problems)

    def get_full_name(self) -> str:
        """Return the name they gave: of an older one that `clean_name` refuses, what it takes."""
        parts = (_as_shown(getattr(self, field)) for field in _NAME_FIELDS)
        return " ".join(filter(None, parts))

    @property
    def display_name(self) -> str:
        """The name they gave, or else their address."""
        return self.get_full_name() or self.email

    @property
    def name_and_address(self) -> str:
        """The name they gave with the address, which nobody else can have; or that alone."""
        name = self.get_full_name()
        return f"{name} ({self.email})" if name else self.email
