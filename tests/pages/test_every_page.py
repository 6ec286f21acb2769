"""Every page: no complaint of the browser, no barrier, no sideways scrolling."""

from datetime import timedelta

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.core.cache import cache
from django.utils import timezone

from keys import services
from keys.models import APIKey, ApprovalRequest, UsageBucket
from keys.rules import RoleTerms
from keys.verification import Code
from tests.conftest import PASSWORD
from tests.pages.conftest import IS_REQUIRED

if not IS_REQUIRED:
    pytest.importorskip("axe_playwright_python", reason="axe is in the browser lock only.")

from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNT_PAGES = [
    "/accounts/name/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/2fa/",
    "/accounts/2fa/totp/activate/",
    "/accounts/2fa/webauthn/",
    "/accounts/2fa/webauthn/add/",
    "/accounts/sessions/",
    "/accounts/logout/",
]
ENTRANCE_PAGES = ["/accounts/login/", "/accounts/password/reset/", "/accounts/signup/"]


@pytest.fixture
def lived_in(owner, admin, acme):
    """An organization with keys of every standing, used and refused."""
    now = timezone.now()
    long_name = "A key whose name somebody made very long indeed, " + "x" * 60
    busy = services.issue_key(
        actor=owner,
        organization=acme,
        name=long_name,
        description="Reads invoices. " * 10,
        scopes=["READ", "CREATE", "UPDATE", "DELETE", "MANAGE"],
        allowed_ips=[
            {"network": "2001:db8:1234:5678::/64", "comment": "the office in the old town"},
            {"network": "127.0.0.1"},
            {"network": "192.0.2.9", "deny": True},
            {"network": "192.0.2.10", "active": False},
        ],
        limit=100,
        limit_reset="monthly",
        expires_at=now + timedelta(days=3),
    )
    for age in range(25):
        for outcome in (Code.VALID, Code.FORBIDDEN_ADDRESS, Code.LIMIT_EXCEEDED, Code.EXPIRED):
            UsageBucket.objects.create(
                key=busy,
                secret=busy.current_secret,
                hour=now - timedelta(days=age),
                outcome=outcome,
                requests=1000 * age + 1,
            )
    services.rotate_key(actor=owner, key=busy, overlap=timedelta(days=1))
    for name, changes in {
        "Disabled": {"disabled": True},
        "Expired": {"expires_at": now - timedelta(days=1)},
        "Locked": {"locked_at": now},
        "Pending": {"not_before": now + timedelta(days=1)},
        "Revoked": {"revoked_at": now},
    }.items():
        key = services.issue_key(actor=owner, organization=acme, name=name, owner=None)
        APIKey.objects.filter(pk=key.pk).update(**changes)
    scope = services.create_scope(actor=owner, organization=acme, code="orders:read")
    services.create_role(actor=owner, organization=acme, name="w" * 60, scopes=[scope])
    services.create_workspace(actor=owner, organization=acme, name="W" * 120)
    services.add_server_address(
        actor=owner, organization=acme, network="2001:db8:1234:5678::/64", comment="c" * 200
    )
    # Long words wherever people may write some.
    ApprovalRequest.objects.create(
        organization=acme,
        requester=admin,
        kind="issue",
        terms={"name": "w" * 120, "scopes": ["READ", "orders:read"], "description": "d" * 500},
        reason="r" * 500,
        needed_for=[{"rule": "scopes", "role": "admin", "codes": ["READ"]}],
        ends_at=now + timedelta(days=9),
    )
    services.update_policy(
        actor=owner,
        organization=acme,
        person_key_days=1,
        roles=[RoleTerms(acme.roles.get(), frozenset({"READ"}), frozenset({"READ"}), 9)],
    )
    return busy


def pages_of(key) -> list[str]:
    home = "/organizations/acme/"
    revoked = APIKey.objects.get(name="Revoked")
    one = f"{home}keys/{key.identifier}/"
    return [
        home,
        f"{home}?range=1h",
        f"{home}hygiene/",
        *(f"{home}hygiene/{check}/" for check in ("never_expires", "no_ip_list", "idle")),
        f"{home}audit/",
        f"{home}audit/?action=role.deleted&door=window",
        f"{home}settings/",
        f"{home}settings/policies/",
        f"{home}approvals/",
        f"{home}approvals/{ApprovalRequest.objects.get().pk}/",
        f"{home}hygiene/breaks_policy/",
        *settings_of(key.organization),
        f"{home}settings/shared-secret/",
        f"{home}settings/import/",
        f"{home}keys/",
        f"{home}keys/?status=disabled&unused=true",
        f"{home}keys/?search=nothing-like-this&workspace=x",
        f"{home}keys/?status=revoked&ordering=name",
        f"{home}keys/?hygiene=no_ip_list",
        f"{home}keys/new/",
        f"{home}keys/new/?template=management",
        one,
        f"{one}?range=24h",
        *(
            f"{one}{page}/"
            for page in ("limits", "access", "rotation", "activity", "audit", "danger", "print")
        ),
        f"{one}access/?address=192.0.2.9",
        f"{one}secrets/{key.secrets.last().pk}/retire/",
        f"{home}explain/",
        f"{home}explain/?key={key.identifier}&address=192.0.2.9&scopes=orders:read",
        *(
            f"{one}{page}/"
            for page in ("edit", "rotate", "first-use", "disable", "enable", "revoke")
        ),
        f"{home}keys/{revoked.identifier}/",
    ]


def settings_of(organization) -> list[str]:
    """Return the pages of an organization's settings that are about its rows."""
    role, scope = organization.roles.get(), organization.scopes.get()
    workspace = organization.workspaces.get(is_default=False)
    member = organization.memberships.get(is_owner=False)
    address = organization.server_addresses.get()
    return [
        f"/organizations/{organization.slug}/settings/{page}/"
        for page in (
            *(
                "members",
                "members/leave",
                f"members/{member.pk}/edit",
                f"members/{member.pk}/remove",
                f"members/{organization.memberships.get(is_owner=True).pk}/hand-over",
            ),
            *("roles", "roles/new", f"roles/{role.pk}/edit", f"roles/{role.pk}/delete"),
            *("scopes/new", f"scopes/{scope.pk}/edit", f"scopes/{scope.pk}/delete"),
            *("workspaces", f"workspaces/{workspace.pk}/edit", f"workspaces/{workspace.pk}/delete"),
            "server-addresses",
            f"server-addresses/{address.pk}/edit",
            f"server-addresses/{address.pk}/remove",
        )
    ]


def confirm_access(page):
    """Give the password again, which changes of the account ask for."""
    page.goto("/accounts/reauthenticate/?next=/accounts/2fa/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def violations(page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{page.url} {each['id']}: {[node['target'] for node in each['nodes']]}" for each in found
    ]


@pytest.mark.parametrize("width", [360, 1280])
def test_pages_fit_and_the_browser_has_no_complaint(visit, owner, lived_in, width):
    page = visit("/organizations/acme/", person=owner, width=width)
    confirm_access(page)
    for path in [*pages_of(lived_in), *ACCOUNT_PAGES]:
        assert page.goto(path).status == 200, path
        beyond = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert beyond <= 0, f"{path} is {beyond} px too wide"
        assert page.complaints == []
    stranger = visit("/accounts/login/", width=width)
    for path in ENTRANCE_PAGES:
        assert stranger.goto(path).status == 200
        assert stranger.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_have_no_barrier(visit, owner, lived_in, scheme, width):
    # Axe itself breaks the policy on styles, so what the console then says is not ours.
    page = visit("/organizations/acme/", person=owner, width=width, color_scheme=scheme)
    confirm_access(page)
    found = []
    for path in [*pages_of(lived_in), *ACCOUNT_PAGES, "/accounts/reauthenticate/"]:
        page.goto(path)
        found += violations(page)
    page.goto("/organizations/acme/keys/new/")
    page.get_by_label("Allowed IPs").fill("10.0.0.1/8")
    page.get_by_role("button", name="Issue key").click()
    found += violations(page)
    page.get_by_role("textbox", name="Name", exact=True).fill("Billing")
    # The policy lets people's keys live for a day.
    page.get_by_role("radio", name="Acme The organization itself").check()
    page.get_by_label("Allowed IPs").fill("192.0.2.1")
    page.get_by_role("button", name="Issue key").click()
    found += violations(page)
    page.get_by_label("I know that it will not work from here").check()
    page.get_by_role("button", name="Issue key").click()
    page.get_by_text("Reveal").click()
    found += violations(page)
    page.reload()
    found += violations(page)
    page.goto("/organizations/acme/keys/")
    for menu in ("Account menu", "Organization:", "Filters"):
        page.get_by_role("button", name=menu).click()
        found += violations(page)
    page.goto(f"/organizations/acme/keys/{lived_in.identifier}/")
    page.get_by_text("Show as a table").click()
    found += violations(page)
    page.goto(f"/organizations/acme/keys/{lived_in.identifier}/danger/")
    page.get_by_role("link", name="Revoke…").click()
    page.get_by_role("button", name="Revoke for good").wait_for()
    found += violations(page)
    page.complaints.clear()
    visitor = visit("/accounts/login/", width=width, color_scheme=scheme)
    for path in [*ENTRANCE_PAGES, "/favicon.ico/none"]:
        visitor.goto(path)
        found += violations(visitor)
    visitor.complaints.clear()
    assert found == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_two_factor_is_set_up_without_a_complaint(visit, owner, acme, scheme):
    page = visit("/organizations/acme/", person=owner, color_scheme=scheme)
    confirm_access(page)
    page.goto("/accounts/2fa/totp/activate/")
    background = page.locator(".qr").evaluate("image => getComputedStyle(image).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    secret = page.get_by_label("Authenticator secret").input_value()
    code = totp.hotp_value(secret, next(iter(totp.yield_hotp_counters_from_time())))
    page.get_by_label("Authenticator code").fill(totp.format_hotp_value(code))
    page.get_by_role("button", name="Activate").click()
    assert page.complaints == []
    cache.clear()
    found = []
    for path in (
        "/accounts/2fa/",
        "/accounts/2fa/recovery-codes/",
        "/accounts/2fa/recovery-codes/generate/",
        "/accounts/2fa/totp/deactivate/",
    ):
        assert page.goto(path).status == 200, path
        assert page.complaints == []
        found += violations(page)
        page.complaints.clear()
    assert found == []


def test_passkey_is_added_and_signs_in(visit, owner, acme):
    page = visit("/organizations/acme/", person=owner)
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    confirm_access(page)
    page.goto("/accounts/2fa/webauthn/add/")
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add").click()
    page.wait_for_url("**/2fa/**recovery-codes/**")
    page.goto("/accounts/2fa/webauthn/")
    assert page.get_by_text("Passkey", exact=True).is_visible()
    page.goto("/accounts/logout/")
    page.get_by_role("button", name="Sign Out").click()
    page.goto("/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/organizations/acme/")
