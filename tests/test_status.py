"""The status page: staff see on which hosts keys are judged, and how late these know."""

from datetime import timedelta

from django.utils import timezone

from keys import audit_checks, feed
from keys.models import AuditHead, Worker

URL = "/status/"
IS_TOLD = True


def serve(host: str, pid: int, *, silent_for: int = 0, **fields) -> Worker:
    now = timezone.now()
    return Worker.objects.create(
        id=f"{host}-{pid}",
        host=host,
        pid=pid,
        started_at=now - timedelta(hours=3),
        seen_at=now - timedelta(seconds=silent_for),
        **fields,
    )


def test_only_staff_enter(client, owner, staff):
    assert "/login/" in client.get(URL)["Location"]
    client.force_login(owner)
    assert "Lag" not in client.get(URL, follow=True).text
    client.force_login(staff)
    assert client.get(URL).status_code == 200
    assert client.post(URL).status_code == 405


def test_it_is_found_from_the_first_page(as_staff):
    assert f'href="{URL}"' in as_staff.get("/admin/").text


def test_each_process_is_shown_as_it_last_reported(as_staff, monkeypatch):
    monkeypatch.setattr(feed, "is_needed", lambda: True)
    serve("web-1/aaaaaaaa", 100, lag_p50_ms=1.25, lag_p99_ms=7.5, remembered=12, hits=3, misses=1)
    serve("web-2/bbbbbbbb", 200, is_trusting=False, lag_p50_ms=2.5, lag_p99_ms=4.0)
    serve("web-3/cccccccc", 300, silent_for=60)
    page = " ".join(as_staff.get(URL).text.split())
    for words in ("web-1/aaaaaaaa", "from memory", "asks the database", "silent", "75.0 %"):
        assert words in page
    # The slowest host counts, and who is silent does not.
    assert (
        "known on the slowest of them 2.5 ms after they were made, 99 of 100 after 7.5 ms" in page
    )
    assert "without what changed 1 s before" in page
    assert "<dt>Hosts</dt><dd>2</dd>" in page


def test_on_one_host_nothing_has_to_be_heard(as_staff, monkeypatch):
    monkeypatch.setattr(feed, "is_needed", lambda: False)
    page = as_staff.get(URL).text
    assert "SQLite is for one host" in page
    assert "Lease" not in page
    assert "No process reported" in page


def test_it_says_whether_the_audit_trail_is_whole(as_staff, acme):
    assert "No event is verified yet" in as_staff.get(URL).text
    audit_checks.check_some()
    assert "1 of 1 events are verified, and nothing was altered" in as_staff.get(URL).text
    AuditHead.objects.filter(chain=acme.pk).update(problem="event 1 (id 1) was altered")
    page = as_staff.get(URL).text
    assert "<strong>Acme</strong>: <code>event 1 (id 1) was altered</code>" in page
    assert "nothing was altered" not in page


def test_it_costs_the_same_with_many_processes(as_staff, django_assert_max_num_queries):
    serve("web-1/aaaaaaaa", 1)
    with django_assert_max_num_queries(18) as before:
        as_staff.get(URL)
    for number in range(40):
        serve(f"web-{number}/dddddddd", number)
    with django_assert_max_num_queries(len(before)):
        as_staff.get(URL)


def test_it_is_for_people_in_their_language(as_staff):
    assert as_staff.get(URL, headers={"Accept-Language": "de"})["Content-Language"] == "de"
