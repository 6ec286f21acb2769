"""`user.has_perm()`, and with it `{{ perms }}` and the admin, ask the policy."""

import pytest
from django.contrib.auth import authenticate, get_backends
from django.contrib.auth.models import AnonymousUser, Group, Permission
from django.test import RequestFactory

from keys.backends import PolicyBackend
from tests.conftest import PASSWORD


def test_has_perm_is_the_policys_answer_about_a_row(
    owner, developer, viewer, staff, key, manage_key
):
    assert owner.has_perm("keys.change_apikey", key)
    assert developer.has_perm("keys.change_apikey", key)
    assert not developer.has_perm("keys.change_apikey", manage_key)
    assert not viewer.has_perm("keys.change_apikey", key)
    assert staff.has_perm("keys.view_apikey", key)
    assert not staff.has_perm("keys.change_apikey", key)


def test_without_a_row_it_is_about_any_organization(acme, owner, developer, viewer, staff):
    assert owner.has_perm("keys.change_organization")
    assert not developer.has_perm("keys.change_organization")
    assert developer.has_perm("keys.add_apikey")
    assert not viewer.has_perm("keys.add_apikey")
    assert staff.has_perm("keys.view_auditevent")
    assert not staff.has_perm("keys.add_apikey")


def test_a_stranger_has_nothing_here(acme, stranger, key):
    assert not stranger.has_perm("keys.view_apikey", key)
    assert not stranger.has_perm("keys.view_apikey")


@pytest.mark.parametrize("name", ["keys.view_nothing", "auth.view_group", "view_apikey", ""])
def test_what_the_policy_does_not_know_nobody_has(owner, staff, name):
    assert not owner.has_perm(name)
    assert not staff.has_perm(name)


def test_neither_nobody_nor_somebody_deactivated_has_anything(acme, owner, key):
    assert not PolicyBackend().has_perm(AnonymousUser(), "keys.view_apikey", key)
    owner.is_active = False
    owner.save()
    assert not owner.has_perm("keys.view_apikey", key)
    assert not owner.has_module_perms("keys")


def test_djangos_own_grants_mean_nothing(acme, viewer, key):
    """There is one permission system: rows of auth_permission are not part of it."""
    permission = Permission.objects.get(codename="delete_apikey")
    viewer.user_permissions.add(permission)
    group = Group.objects.create(name="Deleters")
    group.permissions.add(permission)
    viewer.groups.add(group)
    assert not viewer.has_perm("keys.delete_apikey", key)
    assert not viewer.has_perm("keys.delete_apikey")


def test_only_staff_see_the_app_in_the_admin(acme, owner, staff):
    assert staff.has_module_perms("keys")
    assert not owner.has_module_perms("keys")
    assert not staff.has_module_perms("auth")


def test_people_sign_in_with_their_address_and_keys_do_not(owner, key):
    """T5: no credential is exchanged for a session."""
    request = RequestFactory().post("/accounts/login/")
    assert authenticate(request, email="owner@acme.example", password=PASSWORD) == owner
    assert authenticate(request, email="owner@acme.example", password="wrong") is None
    assert authenticate(request, email="developer@acme.example", password=key.secret) is None
    assert len(get_backends()) == 2
