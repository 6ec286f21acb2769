"""The policy of an organization in sentences."""

from collections.abc import Iterator

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from keys.models.policies import LeakAction
from keys.rules import RoleTerms, Rules

register = template.Library()

_LEAKS = {
    LeakAction.NOTIFY: lambda: _("When a key leaked, its people are told and decide."),
    LeakAction.DISABLE: lambda: _("When a key leaked, it is disabled and its people are told."),
    LeakAction.ROTATE: lambda: _("When a key leaked, it is rotated and its people are told."),
}


@register.filter
def policy_sentences(rules: Rules) -> list[str]:
    """Say what an organization demands, rule by rule."""
    sentences = [*_demands_of_keys(rules), *_about_people(rules)]
    for terms in rules.roles:
        sentences.extend(_about_role(terms))
    return sentences


@register.filter
def lifetime_sentences(rules: Rules) -> list[str]:
    """Say how long keys may live."""
    return list(_lifetimes(rules))


def _demands_of_keys(rules: Rules) -> Iterator[str]:
    yield from _lifetimes(rules)
    if rules.confined_scopes:
        yield _("Keys with %(codes)s work from allowed IPs only.") % {
            "codes": ", ".join(rules.confined_scopes)
        }
    if rules.name_pattern:
        yield _("Names of keys look like %(pattern)s.") % {"pattern": rules.name_pattern}
    if rules.idle_days is not None:
        yield ngettext(
            "Keys that were not used for %(days)d day are disabled.",
            "Keys that were not used for %(days)d days are disabled.",
            rules.idle_days,
        ) % {"days": rules.idle_days}


def _lifetimes(rules: Rules) -> Iterator[str]:
    if rules.person_key_days is not None:
        yield ngettext(
            "Keys of people live at most %(days)d day.",
            "Keys of people live at most %(days)d days.",
            rules.person_key_days,
        ) % {"days": rules.person_key_days}
    if rules.shared_key_days is not None:
        yield ngettext(
            "Keys of the organization live at most %(days)d day.",
            "Keys of the organization live at most %(days)d days.",
            rules.shared_key_days,
        ) % {"days": rules.shared_key_days}


def _about_people(rules: Rules) -> Iterator[str]:
    if rules.requires_second_factor:
        yield _("Members sign in with a second factor.")
    if rules.two_person_rule:
        yield _("It takes two people to give MANAGE.")
    yield _LEAKS[LeakAction(rules.leak_action)]()


def _about_role(terms: RoleTerms) -> Iterator[str]:
    if terms.scopes:
        yield _("In the role %(role)s, keys get only %(codes)s.") % {
            "role": terms.role.name,
            "codes": ", ".join(sorted(terms.scopes)),
        }
    if terms.approval_scopes:
        yield _("In the role %(role)s, giving %(codes)s to a key needs approval.") % {
            "role": terms.role.name,
            "codes": ", ".join(sorted(terms.approval_scopes)),
        }
    if terms.approval_days is not None:
        yield ngettext(
            "In the role %(role)s, a key that lives longer than %(days)d day needs approval.",
            "In the role %(role)s, a key that lives longer than %(days)d days needs approval.",
            terms.approval_days,
        ) % {"role": terms.role.name, "days": terms.approval_days}
