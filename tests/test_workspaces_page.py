"""The page of workspaces."""

import pytest
from django.urls import reverse

from keys import services
from keys.models import Workspace


def page(name: str, *more) -> str:
    return reverse(f"keys:{name}", args=["acme", *more])


@pytest.fixture
def lab(acme, owner) -> Workspace:
    return services.create_workspace(actor=owner, organization=acme, name="Lab")


@pytest.fixture
def held(acme, owner, lab):
    """A key in the lab."""
    return services.issue_key(
        actor=owner, organization=acme, name="Probe", owner=None, workspace=lab
    )


def row_of(text: str, name: str) -> str:
    start = text.index(f"<b>{name}</b>")
    return text[start : text.index("</tr>", start)]


def test_shows_each_with_its_live_keys_and_leads_to_them(client, admin, acme, lab, held):
    revoked = services.issue_key(actor=admin, organization=acme, name="Gone", workspace=lab)
    services.revoke_key(actor=admin, key=revoked)
    client.force_login(admin)
    text = client.get(page("workspaces")).text
    assert f'/keys/?workspace={lab.pk}">1<' in row_of(text, "Lab")
    assert "Default:" in row_of(text, "Default")
    assert "Default:" not in row_of(text, "Lab")


def test_counts_no_key_that_the_person_does_not_see(client, developer, held):
    client.force_login(developer)
    assert 'data-label="Keys">0<' in row_of(client.get(page("workspaces")).text, "Lab")


def test_an_admin_adds_and_renames(client, admin, acme):
    client.force_login(admin)
    reply = client.post(page("workspaces"), {"name": "Partners"}, follow=True)
    assert "Keys may now be put into “Partners”." in reply.text
    row = acme.workspaces.get(name="Partners")
    reply = client.post(page("workspace-edit", row.pk), {"name": "Friends"}, follow=True)
    assert "It is now called “Friends”." in reply.text
    row.refresh_from_db()
    assert row.name == "Friends"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "required"),
        ("Lab", "has a workspace of that name"),
        ("x" * 121, "at most 120 characters"),
        ("a\x00b", "Null characters"),
    ],
)
def test_what_is_wrong_is_named_and_what_was_typed_stays(client, admin, acme, lab, name, problem):
    client.force_login(admin)
    default = acme.workspaces.get(is_default=True)
    for address in (page("workspaces"), page("workspace-edit", default.pk)):
        reply = client.post(address, {"name": name})
        assert problem in reply.text
        assert reply.context["form"]["name"].value() == name
    assert {row.name for row in acme.workspaces.all()} == {"Default", "Lab"}


def test_an_empty_one_is_deleted_after_asking(client, admin, lab):
    client.force_login(admin)
    assert "Delete the workspace “Lab”?" in client.get(page("workspace-delete", lab.pk)).text
    assert Workspace.objects.filter(pk=lab.pk).exists()
    reply = client.post(page("workspace-delete", lab.pk), follow=True)
    assert "The workspace “Lab” is deleted." in reply.text
    assert not Workspace.objects.filter(pk=lab.pk).exists()


def test_one_that_cannot_be_deleted_says_why_and_offers_nothing(client, admin, acme, lab, held):
    client.force_login(admin)
    default = acme.workspaces.get(is_default=True)
    reasons = {
        default: "The default workspace cannot be deleted",
        lab: "it cannot be deleted before they are moved",
    }
    for workspace, reason in reasons.items():
        address = page("workspace-delete", workspace.pk)
        text = client.get(address).text
        assert reason in text
        assert ">Delete workspace<" not in text
        assert reason in client.post(address, follow=True).text
    services.revoke_key(actor=admin, key=held)
    assert "while they are kept" in client.get(page("workspace-delete", lab.pk)).text
    assert acme.workspaces.count() == 2


def test_a_developer_sees_them_and_no_way_to_change_them(client, developer, lab):
    client.force_login(developer)
    text = client.get(page("workspaces")).text
    assert "Lab" in text
    for hidden in ("Rename", "Delete…", "Add workspace"):
        assert hidden not in text


def test_a_stranger_reaches_none_under_their_own_organizations_address(
    client, stranger, other, lab
):
    """T10: the row is looked for in the organization of the path."""
    client.force_login(stranger)
    for name in ("workspace-edit", "workspace-delete"):
        foreign = reverse(f"keys:{name}", args=[other.slug, lab.pk])
        assert client.post(foreign, {"name": "Mine"}).status_code == 404
    lab.refresh_from_db()
    assert lab.name == "Lab"


def test_it_asks_the_database_equally_often_however_many_there_are(
    client, admin, acme, held, django_assert_max_num_queries
):
    for number in range(30):
        services.create_workspace(actor=admin, organization=acme, name=f"Space {number}")
    client.force_login(admin)
    with django_assert_max_num_queries(12):
        text = client.get(page("workspaces")).text
    assert "Page 1 of 2" in text
