"""Take the README's pictures from a running demo.

    python -m tests.pages.take_screenshots http://127.0.0.1:8000 PASSWORD [--all FOLDER]

with the address and the password that `quickstart` printed. `--all` takes every page of the
portal instead, light and dark, at the width of a telephone and of a desk, to look at. Needs
Playwright and Chromium.
"""

import argparse
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).resolve().parents[2] / "portal" / "screenshots"
OWNER = "owner@acme.example"
HOME = "organizations/acme/"
# Keys of the demo: one that is in use and confined, one in the middle of a rotation.
KEY, ROTATING = "Storefront backend", "Warehouse scanners"


@dataclass(frozen=True)
class Picture:
    """A page of the demo; `{key}` and `{rotating}` in its path are where those keys are."""

    name: str
    path: str
    is_dark: bool = False
    height: int = 860


# What the README shows.
PICTURES = (
    Picture("home", HOME),
    Picture("keys", f"{HOME}keys/"),
    Picture("new-key", f"{HOME}keys/new/?template=ci-deploy", height=1180),
    Picture("key", "{key}", is_dark=True),
    Picture("rotation", "{rotating}rotation/", height=1080),
    Picture("explain", f"{HOME}explain/", is_dark=True),
    Picture("hygiene", f"{HOME}hygiene/"),
)

# Every page, for eyes.
PATHS = (
    HOME,
    *(f"{HOME}{page}/" for page in ("keys", "keys/new", "hygiene", "explain", "audit")),
    f"{HOME}approvals/",
    *("{key}" + page for page in ("", "limits/", "access/", "rotation/", "activity/", "audit/")),
    *("{key}" + page for page in ("danger/", "edit/", "rotate/", "disable/", "revoke/")),
    *(f"{HOME}settings/{page}" for page in ("", "policies/", "members/", "roles/", "workspaces/")),
    *(f"{HOME}settings/{page}/" for page in ("server-addresses", "shared-secret", "webhooks")),
    *(f"{HOME}{page}/" for page in ("leaks", "settings/import", "settings/permissions")),
    *(f"accounts/{page}/" for page in ("name", "email", "password/change", "2fa", "sessions")),
    *("accounts/notifications/", "docs/", "found/"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", type=lambda text: text.rstrip("/") + "/")
    parser.add_argument("password")
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="every page, into this folder")
    options = parser.parse_args()
    folder = options.all or FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        if options.all:
            _take_all(browser, options.address, options.password, folder)
        else:
            _take_pictures(browser, options.address, options.password, folder)
        browser.close()


def _take_pictures(browser: Browser, address: str, password: str, folder: Path) -> None:
    for picture in PICTURES:
        scheme = "dark" if picture.is_dark else "light"
        size = {"width": 1280, "height": picture.height}
        page = browser.new_context(color_scheme=scheme, viewport=size).new_page()
        keys = _sign_in(page, address, password)
        page.goto(address + picture.path.format(**keys))
        page.screenshot(path=folder / f"{picture.name}-{scheme}.png")


def _take_all(browser: Browser, address: str, password: str, folder: Path) -> None:
    for width, scheme in _looks():
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = context.new_page()
        keys = _sign_in(page, address, password)
        for path in PATHS:
            page.goto(address + path.format(**keys))
            name = re.sub(r"\W+", "-", path.format(key="key/")).strip("-")
            page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)


def _looks() -> Iterator[tuple[int, str]]:
    for width in (360, 1280):
        for scheme in ("light", "dark"):
            yield width, scheme


def _sign_in(page: Page, address: str, password: str) -> dict[str, str]:
    """Sign in as the demo's owner; return the paths of the pages of KEY and ROTATING."""
    page.goto(f"{address}accounts/login/")
    page.get_by_label("Email").first.fill(OWNER)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{address}{HOME}")
    page.goto(f"{address}{HOME}keys/")
    links = {
        name: page.get_by_role("link", name=key, exact=True).first.get_attribute("href")
        for name, key in (("key", KEY), ("rotating", ROTATING))
    }
    return {name: str(link).lstrip("/") for name, link in links.items()}


if __name__ == "__main__":
    main()
