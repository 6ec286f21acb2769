"""Somebody found a key: hand it in, without one's own."""

from functools import partial

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from keys import services
from keys.api.dialects.native.dialect import Body, Native
from keys.api.fields import Text
from keys.api.permissions import ANYONE
from keys.api.views import route
from keys.services.leaks import look_up_later


class FoundKeySerializer(Body):
    """A key that was found, where, and what else there is to say."""

    secret = Text(max_length=512, help_text="The key, all of it.")
    url = Text(
        source="source_url",
        max_length=500,
        required=False,
        allow_blank=True,
        help_text="Where it was found.",
    )
    comment = Text(max_length=500, required=False, allow_blank=True)


class ThanksSerializer(serializers.Serializer):
    """The answer, whosever key it is, if anybody's."""

    message = serializers.CharField()


class LeaksView(Native):
    """Takes in keys that somebody found where they should not be."""

    permissions = {"post": ANYONE}
    authentication_classes = ()

    def error_serializer(self) -> FoundKeySerializer:
        return FoundKeySerializer()

    @extend_schema(
        operation_id="leaks",
        auth=[],
        request=FoundKeySerializer,
        responses={202: ThanksSerializer},
    )
    def post(self, request: Request) -> Response:
        """Hand in a key that was found. Whoever it belongs to is told at once.

        The answer is the same for every text that could be a key of this installation.
        """
        body = FoundKeySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            found = services.hand_in_secret(**body.validated_data)
        except services.TooManyReportsError:
            raise Throttled(detail=str(_("That were many from your address."))) from None
        response = Response({"message": str(_("Thank you."))}, status=202)
        # Whose it is, is looked up when the answer is on its way.
        response._resource_closers.append(partial(look_up_later, found))
        return response


urlpatterns = [route(r"v1/leaks", LeaksView.as_view(), "leaks")]
