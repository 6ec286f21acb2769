"""What a revocation that waits for its confirmation answers."""

from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from keys.api.dialects.native.dialect import refuse_unknown_parameters

CONFIRM = OpenApiParameter(
    "confirm",
    OpenApiTypes.BOOL,
    description="`true`: wait until every host on which keys are judged confirmed that it knows, "
    "some seconds at most; the reply then says which did, with status 200.",
)


class RevocationSerializer(serializers.Serializer):
    """Who confirmed that a revoked key is accepted no more."""

    confirmed = serializers.ListField(
        child=serializers.CharField(), help_text="Hosts all of whose processes refuse it now."
    )
    missing = serializers.ListField(
        child=serializers.CharField(),
        help_text="Hosts that did not confirm in time: cut off, or stopped.",
    )
    lease_seconds = serializers.FloatField(
        help_text="Those refuse it at the latest so many seconds after it was revoked."
    )


def wants_confirmation(request: Request) -> bool:
    """Read the parameter; raises ValidationError, by name, for what is no answer to it."""
    refuse_unknown_parameters(request, {CONFIRM.name})
    match request.query_params.getlist(CONFIRM.name):
        case [] | ["false"]:
            return False
        case ["true"]:
            return True
    raise ValidationError({CONFIRM.name: [_("Say true or false, once.")]})
