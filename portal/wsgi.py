"""The WSGI application that the server runs."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

django_application = get_wsgi_application()

# Whoever imports these needs the settings, which are there from here on.
from keys import workers  # noqa: E402
from keys.gate import Gate  # noqa: E402

application = Gate(django_application, start=workers.start)
