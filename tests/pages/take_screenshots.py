"""Take the README's pictures from a running demo.

    python -m tests.pages.take_screenshots http://127.0.0.1:8000 PASSWORD

with the address and the password that `quickstart` printed. Needs Playwright and Chromium.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).resolve().parents[2] / "portal" / "screenshots"
OWNER = "owner@acme.example"


def main(address: str, password: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for scheme, picture in (("light", "keys"), ("dark", "key")):
            page = browser.new_context(
                color_scheme=scheme, viewport={"width": 1280, "height": 860}
            ).new_page()
            _sign_in(page, address, password)
            page.goto(f"{address}/organizations/acme/keys/")
            if picture == "key":
                page.get_by_role("link", name="Storefront backend").click()
                page.wait_for_load_state()
            page.screenshot(path=FOLDER / f"{picture}-{scheme}.png")
        browser.close()


def _sign_in(page: Page, address: str, password: str) -> None:
    page.goto(f"{address}/accounts/login/")
    page.get_by_label("E-mail").or_(page.get_by_label("Email")).first.fill(OWNER)
    page.get_by_label("Password", exact=True).fill(password)
    page.locator("form button[type=submit]").first.click()
    page.wait_for_url(f"{address}/organizations/**")


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), sys.argv[2])
