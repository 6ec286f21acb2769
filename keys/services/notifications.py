"""Which mails a person wants."""

from collections.abc import Iterable

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext as _

from keys.models import NotificationSettings, User
from keys.models.messages import ALWAYS_SENT, Kind


def choose_notifications(
    *, actor: User, unwanted: Iterable[str], language: str = ""
) -> NotificationSettings:
    """Say which kinds of mails a person does not want, and in which language the others are.

    Raises PermissionDenied for whoever is no person; ValidationError by field.
    """
    if not isinstance(actor, User):
        raise PermissionDenied(_("Only people get mails."))
    unwanted = set(unwanted)
    if not unwanted <= set(Kind) - ALWAYS_SENT:
        raise ValidationError({"unwanted": _("Such mails cannot be switched off.")})
    if language and language not in dict(settings.LANGUAGES):
        raise ValidationError({"language": _("Choose one of the languages.")})
    chosen, _created = NotificationSettings.objects.update_or_create(
        person=actor, defaults={"unwanted": sorted(unwanted), "language": language}
    )
    return chosen
