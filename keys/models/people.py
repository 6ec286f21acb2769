"""People who sign in."""

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


def validate_name(name: str) -> None:
    """Raise ValidationError for what others would take for somebody else's address."""
    if "@" in name:
        raise ValidationError(gettext("Leave out the @: others would take it for an address."))


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

    @property
    def display_name(self) -> str:
        """The name they gave, or else their address."""
        return self.get_full_name() or self.email

    @property
    def name_and_address(self) -> str:
        """The name they gave with the address, which nobody else can have; or that alone."""
        name = self.get_full_name()
        return f"{name} ({self.email})" if name else self.email
