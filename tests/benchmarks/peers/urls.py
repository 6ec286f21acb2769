"""The same view at one path for each way to authenticate its caller."""

from django.urls import path
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.permissions import HasAPIKey

from keys.api.authentication import KeyAuthentication


class Anybody(APIView):
    """Says that the call was let through."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request):
        """Answer what is the same for everybody."""
        return Response({"valid": True})


urlpatterns = [
    path("anybody", Anybody.as_view()),
    path(
        "keyhaven",
        Anybody.as_view(
            authentication_classes=[KeyAuthentication], permission_classes=[IsAuthenticated]
        ),
    ),
    path("api-key", Anybody.as_view(permission_classes=[HasAPIKey])),
    path(
        "token",
        Anybody.as_view(
            authentication_classes=[TokenAuthentication], permission_classes=[IsAuthenticated]
        ),
    ),
    path(
        "knox",
        Anybody.as_view(
            authentication_classes=[KnoxAuthentication], permission_classes=[IsAuthenticated]
        ),
    ),
]
