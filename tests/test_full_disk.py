"""What people and programs are answered while the database has no room for anything new."""

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse

from keys.models import APIKey, AuditEvent
from tests.key_pages import fill, listing, page_of, sign_in, words_of
from tests.staff_pages import press

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple 42"


def full_disk(*, of: str = ""):
    """Let the database refuse whatever adds to it, or to one table."""

    def run(execute, sql, params, many, context):
        if sql.startswith((f'INSERT INTO "{of}', f'UPDATE "{of}')):
            raise OperationalError("could not extend file: No space left on device")
        return execute(sql, params, many, context)

    return connection.execute_wrapper(run)


def browser_of(person) -> Client:
    client = sign_in(person)
    client.raise_request_exception = False
    return client


def is_told_to_come_back(answer) -> bool:
    return (answer.status_code, answer.headers.get("Retry-After")) == (503, "5")


@pytest.mark.parametrize("table", ["", "django_session", "keys_apikey", "keys_auditevent"])
def test_a_form_is_carried_out_once_there_is_room(owner, acme, table):
    browser = browser_of(owner)
    form = fill(browser, acme)

    with full_disk(of=table):
        answer = browser.post(listing(acme, "create"), form)
    assert is_told_to_come_back(answer), answer.status_code
    assert not acme.api_keys.exists()

    assert "Copy the secret" in words_of(browser.post(listing(acme, "create"), form))
    assert acme.api_keys.count() == 1


def test_pages_are_read_meanwhile(owner, key):
    browser = browser_of(owner)
    browser.get(listing(key.organization))
    with full_disk():
        for page in (listing(key.organization), page_of(key), listing(key.organization, "create")):
            assert browser.get(page).status_code == 200, page


def test_who_signs_in_is_told_to_come_back(owner):
    owner.set_password(PASSWORD)
    owner.save()
    browser = Client(raise_request_exception=False)
    form = {"login": owner.email, "password": PASSWORD}

    with full_disk():
        answer = browser.post(reverse("account_login"), form)
    assert is_told_to_come_back(answer), answer.status_code

    browser.post(reverse("account_login"), form)
    assert "_auth_user_id" in browser.session


def test_staff_are_told_to_come_back(staff, key):
    browser = browser_of(staff)
    with full_disk():
        answer = press(browser, key, "lock", reason="It was seen in public.")
    assert is_told_to_come_back(answer), answer.status_code
    key.refresh_from_db()
    assert key.locked_at is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/api-keys", {"key_name": "New", "key_scope": ["READ"]}),
        ("/api/v1/keys", {"name": "New"}),
        ("/v3/account/apiKey", {"name": "New"}),
        ("/api/account/api-keys", {"description": "New"}),
    ],
)
def test_programs_are_told_to_come_back(manage_key, path, body):
    program = Client(raise_request_exception=False)
    events = AuditEvent.objects.count()
    with full_disk():
        answer = program.post(
            path,
            body,
            content_type="application/json",
            headers={"Authorization": f"Bearer {manage_key.secret}"},
        )
    assert is_told_to_come_back(answer), answer.text
    assert APIKey.objects.get() == manage_key
    assert AuditEvent.objects.count() == events


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite says it as it does the rest.")
def test_while_the_database_only_reads_everybody_is_told_to_come_back(owner, acme, manage_key):
    """As its host does that sees a disk nearly full, and as a standby does."""
    browser, new_browser = browser_of(owner), browser_of(owner)
    form = fill(browser, acme)
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    try:
        page = browser.post(listing(acme, "create"), form)
        # It remembers which organization was opened.
        first_page = new_browser.get(listing(acme))
        answer = browser.post(
            "/v1/api-keys",
            {"key_name": "New", "key_scope": ["READ"]},
            content_type="application/json",
            headers={"Authorization": f"Bearer {manage_key.secret}"},
        )
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
    assert is_told_to_come_back(page), page.status_code
    assert is_told_to_come_back(first_page), first_page.status_code
    assert is_told_to_come_back(answer), answer.text
    assert acme.api_keys.get() == manage_key
