"""Each fault under load, with real engines: what is promised of it is kept."""

from contextlib import ExitStack

import pytest

from tests.faults.installation import Engines
from tests.faults.scenarios import SCENARIOS, NotHereError

pytestmark = [pytest.mark.endurance, pytest.mark.xdist_group("clusters")]


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    with ExitStack() as stack:
        yield Engines(stack, tmp_path_factory.mktemp("engines"))


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("seconds", [0.5, 10])
def test_what_is_promised_of_a_fault_is_kept(engines, tmp_path, name, seconds):
    try:
        outcome = SCENARIOS[name].run(engines, tmp_path, seconds)
    except NotHereError as reason:
        pytest.skip(str(reason))
    print(outcome.measured)  # noqa: T201
    assert outcome.broken == []
