"""Settings of the portal: one file, every value from the environment.

Each variable is described in the README's table of settings; `NAME_FILE` may
name a file that holds the value of `NAME`. Nonsense fails at start, loudly.
"""

from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from keys.networks import AddressError, canonical_network
from portal.installation import VAR_DIR, read_secret

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.FileAwareEnv()


# Variables that are not set and stand for a secret that `quickstart` generated.
GENERATED_SECRETS_IN_USE: list[str] = []


def required_secret(variable: str, generated_name: str) -> str:
    """Return a secret from the environment, or the one that `quickstart` generated."""
    value = env.str(variable, default="").strip()
    if not value:
        value = read_secret(generated_name) or ""
        GENERATED_SECRETS_IN_USE.append(variable)
    if not value:
        raise ImproperlyConfigured(
            f"Set {variable} (or {variable}_FILE). To only try the portal out, "
            "run `python manage.py quickstart`, which generates it."
        )
    return value


def parse_peppers(text: str) -> dict[int, bytes]:
    """Return {number: pepper} from the text `1:first,2:second`; the highest number is in use."""
    peppers = {}
    for item in text.split(","):
        number, _, pepper = item.strip().partition(":")
        if not number.isdecimal() or not 1 <= int(number) <= 32767 or int(number) in peppers:
            raise ImproperlyConfigured(
                "KEY_PEPPERS is a list like `1:…,2:…` of distinct numbers from 1 to 32767."
            )
        if len(pepper) < 32:
            raise ImproperlyConfigured(
                f"Pepper {number} in KEY_PEPPERS has fewer than 32 characters."
            )
        peppers[int(number)] = pepper.encode()
    return peppers


def positive_seconds(variable: str, default: int) -> int:
    """Return a variable that is a whole number of seconds, one at least."""
    seconds = env.int(variable, default=default)
    if seconds < 1:
        raise ImproperlyConfigured(f"{variable} is a number of seconds, 1 at least.")
    return seconds


def count_of(variable: str, default: int) -> int:
    """Return a variable that is a whole number, not negative."""
    count = env.int(variable, default=default)
    if count < 0:
        raise ImproperlyConfigured(f"{variable} is a whole number from 0.")
    return count


def parse_networks(variable: str) -> list[str]:
    """Return the canonical networks of a comma-separated variable."""
    try:
        return [canonical_network(text) for text in env.list(variable, default=[])]
    except AddressError as error:
        raise ImproperlyConfigured(f"{variable}: {error.english}") from None


# Core

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = required_secret("SECRET_KEY", "secret_key")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
# One switch for everything that only makes sense behind TLS.
HTTPS = env.bool("HTTPS", default=True)

INSTALLED_APPS = [
    "keys",
    # Before the form templates of django.forms, so that ours are found first.
    "django.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "csp",
    "heroicons",
]

MIDDLEWARE = [
    "keys.middleware.OriginMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "keys.middleware.CompressionMiddleware",
    "keys.middleware.AccountPagesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "keys.middleware.LanguageMiddleware",
    "keys.middleware.EncodingMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
]

ROOT_URLCONF = "portal.urls"
# The API answers with and without a trailing slash: a redirect would turn a POST into a GET.
APPEND_SLASH = False
WSGI_APPLICATION = "portal.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Proxies in front of the portal (addresses or CIDR ranges) whose X-Forwarded-For is believed.
TRUSTED_PROXIES = parse_networks("TRUSTED_PROXIES")


# Database

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Writers queue instead of failing, readers never wait for them.
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        transaction_mode="IMMEDIATE",
        timeout=20,
        init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    )
else:
    DATABASES["default"].setdefault("CONN_MAX_AGE", env.int("CONN_MAX_AGE", default=600))
    DATABASES["default"].setdefault("CONN_HEALTH_CHECKS", True)

CACHES = {"default": env.cache("CACHE_URL", default="locmemcache://")}


# Templates and forms

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"


# Languages and time

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "keys" / "locale"]
USE_I18N = True
# Instants are stored and shown in UTC; limits reset at midnight UTC.
TIME_ZONE = "UTC"
USE_TZ = True
# Moments with their zone.
FORMAT_MODULE_PATH = "portal.formats"


# Static files

STATIC_URL = "static/"
STATIC_ROOT = env.path("STATIC_ROOT", default=VAR_DIR / "static")
STATICFILES_DIRS = [BASE_DIR / "static"]
# Serve the files where they lie, so that nothing has to be collected first: to try out.
SERVE_STATIC_SOURCES = env.bool("SERVE_STATIC_SOURCES", default=DEBUG)
WHITENOISE_USE_FINDERS = SERVE_STATIC_SOURCES
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if SERVE_STATIC_SOURCES
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}


# Sign-in

AUTH_USER_MODEL = "keys.User"
AUTHENTICATION_BACKENDS = ["portal.accounts.SignInBackend", "keys.backends.PolicyBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "keys:home"

ACCOUNT_ADAPTER = "portal.accounts.AccountAdapter"
ACCOUNT_OPEN_SIGNUP = env.bool("OPEN_SIGNUP", default=False)
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
# Whether an address has an account here is nobody's business.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_SESSION_REMEMBER = None
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Keyhaven] "
ACCOUNT_FORMS = {
    "login": "portal.account_forms.SignInForm",
    "signup": "portal.account_forms.SignUpForm",
    "add_email": "portal.account_forms.AddEmailForm",
    "change_password": "portal.account_forms.ChangePasswordForm",
    "set_password": "portal.account_forms.SetPasswordForm",
    "reset_password": "portal.account_forms.ResetPasswordForm",
    "reset_password_from_key": "portal.account_forms.ResetPasswordKeyForm",
    "reauthenticate": "portal.account_forms.ReauthenticateForm",
}
MFA_FORMS = {
    "authenticate": "portal.account_forms.SecondFactorForm",
    "reauthenticate": "portal.account_forms.SecondFactorAgainForm",
}

MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS

EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="keyhaven@localhost")


# API keys

# Number -> pepper of the digests of API keys. New digests use the highest number.
KEY_PEPPERS = parse_peppers(required_secret("KEY_PEPPERS", "key_peppers"))
# The portal's address as its users and clients reach it, where no request tells.
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
# How long tokens of the token exchange last. They stop with the key before that, at once.
ACCESS_TOKEN_SECONDS = positive_seconds("ACCESS_TOKEN_SECONDS", default=86400)
REFRESH_TOKEN_SECONDS = positive_seconds("REFRESH_TOKEN_SECONDS", default=86400)
# How many of its latest judgements are kept of each key, for 30 days at most; 0: none.
DECISIONS_KEPT_PER_KEY = count_of("DECISIONS_KEPT_PER_KEY", default=1000)
# Larger request bodies answer 413; nothing the portal takes comes near it.
API_MAX_BODY_BYTES = env.int("API_MAX_BODY_BYTES", default=65536)
# Requests of one caller to the API; where they are counted (`memory://` is per process).
API_RATE = env.str("API_RATE", default="600/minute")
RATE_LIMIT_STORAGE = env.str("RATE_LIMIT_STORAGE", default="memory://")


# REST framework

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["keys.api.authentication.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["keys.api.permissions.PolicyPermission"],
    "DEFAULT_THROTTLE_CLASSES": ["keys.api.throttling.CallerThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["keys.api.parsers.StrictJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "keys.api.errors.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Keyhaven",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    # It would judge one document of all dialects together; ours are apart, and tested so.
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
}


# Security

SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31536000) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
X_FRAME_OPTIONS = "DENY"

# A proxy that ends TLS says so in X-Forwarded-Proto; believed only where proxies are configured.
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        # `data:` is for the QR code of two-factor set-up and the icons of the API reference.
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
        "manifest-src": [SELF],
    }
}
PERMISSIONS_POLICY = {
    "camera": [],
    "geolocation": [],
    "microphone": [],
    "payment": [],
    "usb": [],
    "publickey-credentials-get": "self",
    "publickey-credentials-create": "self",
    "clipboard-write": "self",
}


# Logging

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
}
