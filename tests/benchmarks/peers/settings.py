"""The portal's settings with the peers beside it, so that all share one process and database."""

from portal.settings import *  # noqa: F403
from portal.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "rest_framework.authtoken", "rest_framework_api_key", "knox"]
ROOT_URLCONF = "tests.benchmarks.peers.urls"
# What `startproject` writes, after what tells our authentication the client's address, and
# before what one of the portal's apps insists on.
MIDDLEWARE = [
    "keys.middleware.OriginMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
# No request opens a connection or asks whether it lives: the peers are not charged for that.
DATABASES["default"].update(CONN_MAX_AGE=600, CONN_HEALTH_CHECKS=False)
# As the peers' own documentation sets it up: nothing else checks or counts the call.
REST_FRAMEWORK = {"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]}
