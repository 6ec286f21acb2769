#!/usr/bin/env python
"""The operator's door: Django's command line for this installation."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    if sys.argv[1:2] == ["quickstart"]:
        # Settings need secrets, and a first run has none yet.
        from portal.installation import prepare_trial

        prepare_trial()

    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Settings: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # as shells say it; where somebody stopped us is of no interest


if __name__ == "__main__":
    main()
