"""The permission matrix for auditors: each cell is what the policy answers."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from keys import matrix, policy, services
from keys.models import APIKey, ApprovalRequest, Organization, Role
from keys.roles import Permission, Reach
from tests.conftest import join, make_person
from tests.key_pages import sign_in, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(acme, owner, admin, developer, viewer, staff, superuser):
    """{column: somebody of whom it speaks}; `clerk` is a role of the organization's own."""
    update = acme.scopes.model.objects.filter(organization=None, code="UPDATE")
    services.create_role(actor=owner, organization=acme, name="clerk", scopes=list(update))
    clerk = make_person("clerk@acme.example")
    services.add_member(
        actor=policy.OPERATOR,
        organization=acme,
        user=clerk,
        role=Role.objects.get(organization=acme, name="clerk"),
    )
    return {
        "admin": admin,
        "developer": developer,
        "readonly": viewer,
        "clerk": clerk,
        matrix.STAFF: staff,
        matrix.SUPERUSER: superuser,
    }


def rows_of(permission: Permission, person, acme, colleague) -> dict[Reach, object]:
    """Return a row of the person's own, of nobody's and of somebody else's, as far as there are."""
    model = matrix.model_of(permission)
    if model is APIKey:
        owners = {Reach.OWN: person, Reach.SHARED: None, Reach.ORGANIZATION: colleague}
        return {
            reach: APIKey.objects.create(
                organization=acme, workspace=acme.workspaces.get(), owner=who, name=f"{permission}",
                slug=f"{permission}-{reach}-{person.pk}"[-63:].lstrip("."),
            )
            for reach, who in owners.items()
        }  # fmt: skip
    if model is ApprovalRequest:
        owners = {Reach.OWN: person, Reach.ORGANIZATION: colleague}
        if permission is Permission.APPROVE_APPROVALREQUEST:
            del owners[Reach.OWN]  # nobody decides on their own, which the page says
        return {
            reach: ApprovalRequest.objects.create(
                organization=acme, requester=who, kind="issue", terms={}, reason="x",
                ends_at=timezone.now() + timedelta(days=1),
            )
            for reach, who in owners.items()
        }  # fmt: skip
    if model is Organization:
        return {Reach.ORGANIZATION: acme}
    found = model.objects.filter(organization=acme)
    if permission in (Permission.CHANGE_MEMBERSHIP, Permission.DELETE_MEMBERSHIP):
        found = found.filter(is_owner=False)
    return {Reach.ORGANIZATION: found.first()} if found.exists() else {}


def test_each_cell_is_what_the_policy_answers(people, acme, owner):
    table = matrix.of(acme)
    assert set(table.columns) == {*people, matrix.OWNER}
    colleague = join(acme, make_person("colleague@acme.example"), "developer").user
    reaches = list(Reach)
    compared = 0
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if column == matrix.OWNER:
                continue
            for reach, obj in rows_of(row.permission, people[column], acme, colleague).items():
                is_told = cell is not None and reaches.index(reach) <= reaches.index(cell)
                # Who belongs to no organization owns nothing there.
                if column in (matrix.STAFF, matrix.SUPERUSER) and reach == Reach.OWN:
                    continue
                answer = policy.allows(people[column], row.permission, obj)
                assert answer == is_told, (row.permission, column, reach)
                compared += 1
    assert compared > 200


def test_owners_have_what_their_column_adds_to_their_role(acme, owner):
    membership = acme.memberships.get(user=owner)
    membership.role = Role.objects.get(organization=None, name="readonly")
    membership.save()
    table = matrix.of(acme)
    readonly, of_owners = table.columns.index("readonly"), table.columns.index(matrix.OWNER)
    for row in table.rows:
        if row.model is Organization:
            told = row.cells[readonly] or row.cells[of_owners]
            assert policy.allows(owner, row.permission, acme) == bool(told), row.permission


def test_members_see_the_matrix_as_a_page(viewer, acme, stranger):
    url = reverse("keys:permissions", args=[acme.slug])
    page = text_of(sign_in(viewer).get(url))
    assert "Who may do what" in page
    for permission in Permission:
        assert permission.codename in page
    assert "pages, Keyhaven, Netography" in page  # where keys are rotated
    assert sign_in(stranger).get(url).status_code == 404


def test_operator_prints_the_matrix(acme, people, capsys):
    call_command("permission_matrix", "--organization", "acme")
    rows = {row["permission"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert rows["rotate_apikey"]["admin"] == "shared"
    assert rows["change_apikey"]["clerk"] == "own"
    assert rows["change_apikey"]["readonly"] == ""
    assert rows["lock_apikey"]["(staff)"] == "organization"
    assert rows["lock_apikey"]["doors"] == "pages staff"
    call_command("permission_matrix", "--organization", "acme", "--format", "json")
    assert json.loads(capsys.readouterr().out)[0]["permission"] == "view_organization"
    with pytest.raises(CommandError, match="no organization 'nobody'"):
        call_command("permission_matrix", "--organization", "nobody")
