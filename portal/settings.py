"""Settings of the portal: one file, every value from the environment.

Each variable is described in the README's table of settings; `NAME_FILE` may
name a file that holds the value of `NAME`. Nonsense fails at start, loudly.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


def parse_peppers(text: str, variable: str = "KEY_PEPPERS") -> dict[int, bytes]:
    """Return {number: pepper} from the text `1:first,2:second`; the highest number is in use."""
    peppers = {}
    for item in text.split(","):
        number, _, pepper = item.strip().partition(":")
        if not number.isdecimal() or not 1 <= int(number) <= 32767 or int(number) in peppers:
            raise ImproperlyConfigured(
                f"{variable} is a list like `1:…,2:…` of distinct numbers from 1 to 32767."
            )
        if len(pepper) < 32:
            raise ImproperlyConfigured(
                f"Number {number} in {variable} has fewer than 32 characters."
            )
        peppers[int(number)] = pepper.encode()
    return peppers


def parse_imported_peppers(variable: str) -> dict[int, bytes]:
    """Return {number: pepper} from a JSON object; such peppers may hold any character."""
    problem = f'{variable} is a JSON object such as {{"1": "…"}} of numbered peppers.'
    try:
        listed = env.json(variable, default={})
        peppers = {int(number): pepper.encode() for number, pepper in listed.items()}
    except (ValueError, AttributeError):
        raise ImproperlyConfigured(problem) from None
    if not all(peppers.values()):
        raise ImproperlyConfigured(problem)
    return peppers


def positive_seconds(variable: str, default: int) -> int:
    """Return a variable that is a whole number of seconds, one at least."""
    seconds = env.int(variable, default=default)
    if seconds < 1:
        raise ImproperlyConfigured(f"{variable} is a number of seconds, 1 at least.")
    return seconds


def parse_lease(variable: str) -> float:
    """Return a variable that is the length of a lease in seconds, of a tenth to a minute."""
    seconds = env.float(variable, default=1.0)
    if not 0.1 <= seconds <= 60:
        raise ImproperlyConfigured(f"{variable} is a number of seconds from 0.1 to 60.")
    return seconds


def count_of(variable: str, default: int) -> int:
    """Return a variable that is a whole number, not negative."""
    count = env.int(variable, default=default)
    if count < 0:
        raise ImproperlyConfigured(f"{variable} is a whole number from 0.")
    return count


def parse_audit_keys(variable: str) -> dict[int, bytes]:
    """Return the numbered keys of a variable, none where it is not set."""
    text = env.str(variable, default="").strip()
    return parse_peppers(text, variable) if text else {}


def days_kept(variable: str) -> int | None:
    """Return a variable that is a whole number of days, one at least; None: for ever."""
    days = env.int(variable, default=None)
    if days is not None and days < 1:
        raise ImproperlyConfigured(f"{variable} is a number of days, 1 at least.")
    return days


def parse_networks(variable: str, default: Sequence[str] = ()) -> list[str]:
    """Return the canonical networks of a comma-separated variable."""
    try:
        return [canonical_network(text) for text in env.list(variable, default=list(default))]
    except AddressError as error:
        raise ImproperlyConfigured(f"{variable}: {error.english}") from None


def parse_issuer(variable: str, *, plain: bool) -> str:
    """Return the address of an OpenID provider, or ""; without TLS only where `plain` says so."""
    issuer = env.str(variable, default="").strip()
    schemes = ("https://", "http://") if plain else ("https://",)
    if issuer and not issuer.startswith(schemes):
        problem = f"{variable} is the provider's address, https://…."
        if issuer.startswith("http://"):
            problem += " To try out one without TLS, set HTTPS=off, for the worker as well."
        raise ImproperlyConfigured(problem)
    return issuer


def require_all_or_none(*variables: str) -> None:
    """Refuse settings of which some are made and others are forgotten."""
    missing = [each for each in variables if not env.str(each, default="").strip()]
    if missing and len(missing) < len(variables):
        raise ImproperlyConfigured(f"Set {', '.join(missing)} too, or none of these.")


def one_of(variable: str, choices: tuple[str, ...]) -> str:
    """Return a variable that is one of these, the first where it is not set."""
    choice = env.str(variable, default=choices[0])
    if choice not in choices:
        raise ImproperlyConfigured(f"{variable} is one of: {', '.join(choices)}.")
    return choice


def on_a_server(database: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a database with what is sensible across a network."""
    # A server that vanished is missed in seconds, and the next of several in the URL asked.
    patience = {
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10000,
    }
    return {
        "CONN_MAX_AGE": env.int("CONN_MAX_AGE", default=600),
        "CONN_HEALTH_CHECKS": True,
        **database,
        "OPTIONS": {**patience, **database.get("OPTIONS", {})},
    }


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
    "allauth.socialaccount",
    "allauth.usersessions",
    "portal.single_sign_on",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "csp",
]

MIDDLEWARE = [
    "keys.operations.OperationsMiddleware",
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
    "portal.devices.KnownDeviceMiddleware",
    "portal.afterwards.AfterwardsMiddleware",
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
    # Opening it again for each request would cost more than most requests do.
    DATABASES["default"].setdefault("CONN_MAX_AGE", env.int("CONN_MAX_AGE", default=600))
    # Writers queue instead of failing, readers never wait for them.
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        transaction_mode="IMMEDIATE",
        timeout=20,
        # Indexes of a million keys do not fit into the 2 MB that a connection remembers unasked.
        init_command=(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32000;"
        ),
    )
else:
    DATABASES["default"] = on_a_server(DATABASES["default"])
    # What may be some moments old, exports and reports, can be read from a standby.
    if env.str("DATABASE_REPLICA_URL", default=""):
        DATABASES["standby"] = on_a_server(env.db("DATABASE_REPLICA_URL"))
DATABASE_ROUTERS = ["keys.standby.StandbyRouter"]

CACHES = {"default": env.cache("CACHE_URL", default="locmemcache://")}

# What the serving processes of one host share, on a disk of its own: never a network's.
STATE_DIR = Path(env.str("STATE_DIR", default=str(VAR_DIR / "state")))
# How long a host judges keys from memory without hearing what other hosts changed.
INVALIDATION_LEASE_SECONDS = parse_lease("INVALIDATION_LEASE_SECONDS")
# Who may read /metrics.
METRICS_ALLOWED_FROM = parse_networks("METRICS_ALLOWED_FROM", default=["127.0.0.0/8", "::1"])
# Where it hears that, if a pooler stands before DATABASE_URL that cannot pass it on.
FEED_DATABASE_URL = env.str("FEED_DATABASE_URL", default="")


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
# How long an invitation to an organization can be accepted.
INVITATION_SECONDS = positive_seconds("INVITATION_SECONDS", default=7 * 86400)
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
# Whether an address has an account here is nobody's business.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_PREVENT_ENUMERATION = True
# How long nobody is asked again who they are before what does most harm: views/step_up.py.
ACCOUNT_REAUTHENTICATION_TIMEOUT = positive_seconds("REAUTHENTICATION_SECONDS", default=900)
# People are told by mail what happens to their account.
ACCOUNT_EMAIL_NOTIFICATIONS = True
# Failed sign-ins, counted where portal/accounts.py says: of an account from one network, of an
# account from anywhere, of an account in a browser in which it signed in before.
ACCOUNT_RATE_LIMITS = {
    "login_failed": "10/m/ip,5/5m/key",
    "login_failed_anywhere": "100/h/key",
    "login_failed_device": "10/5m/key",
    # What comes as if the provider of single sign-on said that somebody's session ended there.
    "single_sign_on_logout": "30/m/ip",
    # Each time, what is remembered of the keys of one's organizations is read again.
    "change_name": "10/h/user",
}
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

USERSESSIONS_ADAPTER = "portal.account_trail.UserSessionsAdapter"

# Single sign-on with one OpenID Connect provider, where its issuer is named.
OIDC_ISSUER = parse_issuer("OIDC_ISSUER", plain=not HTTPS)
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", default="").strip()
OIDC_CLIENT_SECRET = env.str("OIDC_CLIENT_SECRET", default="").strip()
# What people call it.
OIDC_NAME = env.str("OIDC_NAME", default="single sign-on").strip()
# Whose addresses are let in by it; without any, all that it confirms.
OIDC_EMAIL_DOMAINS = [each.lower() for each in env.list("OIDC_EMAIL_DOMAINS", default=[])]
# Whether whom it knows, and nobody invited, gets an account; it belongs to no organization yet.
OIDC_CREATES_ACCOUNTS = env.bool("OIDC_CREATES_ACCOUNTS", default=False)
require_all_or_none("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET")
SOCIALACCOUNT_ADAPTER = "portal.single_sign_on.accounts.SocialAccountAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5

MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS

EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = positive_seconds("EMAIL_TIMEOUT", default=10)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="keyhaven@localhost")


# API keys

# Number -> pepper of the digests of API keys. New digests use the highest number.
KEY_PEPPERS = parse_peppers(required_secret("KEY_PEPPERS", "key_peppers"))
# What the audit trail is signed with; without any, keys derived from the peppers.
AUDIT_KEYS = parse_audit_keys("AUDIT_KEYS")
# How long audit events are kept; None: for ever.
AUDIT_KEPT_DAYS = days_kept("AUDIT_KEPT_DAYS")
# Those of a system whose digests are imported, by the numbers that it gave them.
IMPORTED_PEPPERS = parse_imported_peppers("IMPORTED_PEPPERS")
# The portal's address as its users and clients reach it, where no request tells.
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
# How long tokens of the token exchange last. They stop with the key before that, at once.
ACCESS_TOKEN_SECONDS = positive_seconds("ACCESS_TOKEN_SECONDS", default=86400)
REFRESH_TOKEN_SECONDS = positive_seconds("REFRESH_TOKEN_SECONDS", default=86400)
# How many of its latest judgements are kept of each key, for 30 days at most; 0: none.
DECISIONS_KEPT_PER_KEY = count_of("DECISIONS_KEPT_PER_KEY", default=1000)
# How many keys each process remembers, to judge them without asking the database.
KEYS_REMEMBERED = count_of("KEYS_REMEMBERED", default=100_000)
# Larger request bodies answer 413; nothing the portal takes comes near it.
API_MAX_BODY_BYTES = env.int("API_MAX_BODY_BYTES", default=65536)
# Requests of one caller to the API; where they and all rate limits are counted: by all processes
# of this host in STATE_DIR (`local://`), of several hosts in Redis; `memory://` is per process.
API_RATE = env.str("API_RATE", default="600/minute")
RATE_LIMIT_STORAGE = env.str("RATE_LIMIT_STORAGE", default="local://")


# Telling people and programs

# Networks that are not public and that webhooks may nevertheless lead to.
WEBHOOK_ALLOWED_NETWORKS = parse_networks("WEBHOOK_ALLOWED_NETWORKS")
# How often one address may hand in a key that it found.
LEAK_REPORT_RATE = env.str("LEAK_REPORT_RATE", default="20/hour")


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
SESSION_ENGINE = "portal.sessions"
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

# One JSON object a line, or `text` for people. What looks like a secret is taken out, and so
# are these.
never_logged = [
    SECRET_KEY,
    *(pepper.decode() for pepper in (*KEY_PEPPERS.values(), *AUDIT_KEYS.values())),
    *(pepper.decode() for pepper in IMPORTED_PEPPERS.values()),
    str(DATABASES["default"].get("PASSWORD") or ""),
    str(EMAIL_CONFIG.get("EMAIL_HOST_PASSWORD") or ""),
    OIDC_CLIENT_SECRET,
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "keys.logs.formatter",
            "as_json": one_of("LOG_FORMAT", ("json", "text")) == "json",
            "secrets": never_logged,
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    # Its own handlers would write past ours.
    "loggers": {
        "django": {"handlers": [], "level": "NOTSET"},
        "django.server": {"handlers": [], "level": "NOTSET", "propagate": True},
    },
}
