"""A real Chromium for the pages; without one these tests are skipped, and say so."""

import os
import shutil

import pytest
from django.test import Client

# Playwright runs an event loop in the test's own thread; Django then refuses the ORM there.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

IS_REQUIRED = os.environ.get("KEYHAVEN_REQUIRE_BROWSER") == "1"


def pytest_collection_modifyitems(items):
    """Mark every test of this folder; those of a file share a browser."""
    for item in items:
        if "tests/pages/" in item.nodeid:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group(f"browser-{item.path.stem}"))


@pytest.fixture(scope="session")
def base_url():
    """Stand in for a plugin's fixture, which the test runner warns about."""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    """Drive the Chromium of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        reason = "There is no Chromium on this machine."
        pytest.fail(reason) if IS_REQUIRED else pytest.skip(reason)
    return {
        **browser_type_launch_args,
        "executable_path": executable,
        # Containers often run as root, where Chromium's sandbox does not start.
        "args": ["--no-sandbox"],
    }


@pytest.fixture
def visit(live_server, new_context):
    """Open a browser window, signed in as a person or not; complaints fail the test.

    `page.complaints` collects what the console says: errors, warnings and violations of
    the content security policy.
    """
    pages = []

    def visit(path="/", *, person=None, width=1280, **options):
        context = new_context(
            base_url=live_server.url, viewport={"width": width, "height": 900}, **options
        )
        context.set_default_timeout(10_000)
        if person:
            context.add_cookies([_session_cookie(person, live_server.url)])
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda message: _note(page, message))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        pages.append(page)
        page.goto(path)
        return page

    yield visit
    assert [complaint for page in pages for complaint in page.complaints] == []


def _note(page, message):
    if message.type in ("error", "warning"):
        page.complaints.append(f"{page.url}: {message.text}")


def _session_cookie(person, url):
    client = Client()
    client.force_login(person)
    return {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": url}
