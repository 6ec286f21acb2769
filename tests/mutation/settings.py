"""The tests' settings, with a database that was made before."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

DATABASES["default"]["TEST"] = {"NAME": os.environ["MUTATION_DATABASE"]}
