"""Forms that are carried out once, whatever happens meanwhile."""

from contextlib import ExitStack

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.exceptions import SessionInterrupted

from keys import services
from keys.forms.fields import OnceForm
from keys.views.once import claim
from tests.key_pages import page_of, sign_in, words_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def form() -> OnceForm:
    form = OnceForm({"token": "a" * 32})
    assert form.is_valid()
    return form


@pytest.fixture
def request_of_somebody(rf):
    request = rf.post("/")
    request.session = SessionStore()
    request.session.create()
    with ExitStack() as request.until_answered:
        yield request


def test_form_is_claimed_once(request_of_somebody, form):
    assert claim(request_of_somebody, form)
    assert not claim(request_of_somebody, form)


def test_form_of_somebody_who_signed_out_meanwhile_is_not_carried_out(request_of_somebody, form):
    SessionStore(request_of_somebody.session.session_key).delete()

    with pytest.raises(SessionInterrupted):
        claim(request_of_somebody, form)


def test_form_that_was_refused_may_be_sent_again(developer, staff, key):
    services.lock_key(actor=staff, key=key, reason="It was seen in public.")
    browser, page = sign_in(developer), page_of(key, "rotate")
    form = {"token": "a" * 32, "overlap": "0"}
    assert browser.post(page, form).status_code == 403
    services.unlock_key(actor=staff, key=key)
    assert "Copy the secret" in words_of(browser.post(page, form))
    assert "Copy the secret" not in words_of(browser.post(page, form))
