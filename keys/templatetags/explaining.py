"""An explanation for people: what each check looked at, what it said, what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import networks
from keys.models.usage import LimitReset
from keys.rates import ORGANIZATION, Window
from keys.services import Explanation
from keys.summaries import rate_in_words
from keys.templatetags.amounts import amount
from keys.templatetags.dates import exact
from keys.verification import Check, Code

register = template.Library()

# So many networks are named in a sentence.
_MAX_NAMED = 8


@dataclass(frozen=True)
class Step:
    """One check as it is shown. `decides`: it is the first that refuses, hence the outcome."""

    code: Code
    title: str
    input: str
    passes: bool
    decides: bool
    advice: str = ""
    # The page of the key where it is put right, by URL name, what leads there, and who may.
    fix: str = ""
    fix_label: str | Promise = ""
    fix_permission: str = ""


_TITLES: dict[Code, str | Promise] = {
    Code.REVOKED: gettext_lazy("Revocation"),
    Code.ORGANIZATION_SUSPENDED: gettext_lazy("Organization"),
    Code.OWNER_GONE: gettext_lazy("Owner"),
    Code.LOCKED: gettext_lazy("Staff lock"),
    Code.DISABLED: gettext_lazy("Enabled"),
    Code.NOT_YET_VALID: gettext_lazy("Valid from"),
    Code.EXPIRED: gettext_lazy("Expiry"),
    Code.SECRET_RETIRED: gettext_lazy("Secret"),
    Code.FORBIDDEN_ADDRESS: gettext_lazy("Address"),
    Code.INSUFFICIENT_SCOPES: gettext_lazy("Scopes"),
    Code.RATE_LIMITED: gettext_lazy("Rate limits"),
    Code.LIMIT_EXCEEDED: gettext_lazy("Limit"),
}

# Where a refusal is put right: the page of the key, what leads there, and who may.
_FIXES: dict[Code, tuple[str, str | Promise, str]] = {
    Code.OWNER_GONE: ("hand-over", gettext_lazy("Hand over…"), "keys.assign_apikey"),
    Code.LOCKED: ("unlock", gettext_lazy("Unlock…"), "keys.lock_apikey"),
    Code.DISABLED: ("enable", gettext_lazy("Enable…"), "keys.change_apikey"),
    Code.NOT_YET_VALID: ("edit", gettext_lazy("Edit the key"), "keys.change_apikey"),
    Code.EXPIRED: ("edit", gettext_lazy("Edit the key"), "keys.change_apikey"),
    Code.SECRET_RETIRED: ("rotation", gettext_lazy("See its secrets"), "keys.view_apikey"),
    Code.FORBIDDEN_ADDRESS: ("access", gettext_lazy("See its allowed IPs"), "keys.view_apikey"),
    Code.INSUFFICIENT_SCOPES: ("access", gettext_lazy("See its scopes"), "keys.view_apikey"),
    Code.RATE_LIMITED: ("limits", gettext_lazy("See its rate limits"), "keys.view_apikey"),
    Code.LIMIT_EXCEEDED: ("limits", gettext_lazy("See its limit"), "keys.view_apikey"),
}


@register.simple_tag
def steps(explanation: Explanation) -> list[Step]:
    """Return the checks of an explanation in order, rate limits and limit last."""
    described = [
        _step(explanation, check.code, check.passes, _INPUTS[check.code](explanation, check))
        for check in explanation.checks
    ]
    rates, limit = explanation.rates, explanation.limit
    return [
        *described,
        _step(explanation, Code.RATE_LIMITED, rates.passes, _rates_input(explanation)),
        _step(explanation, Code.LIMIT_EXCEEDED, limit.passes, _limit_input(explanation)),
    ]


def _step(explanation: Explanation, code: Code, passes: bool, words: str) -> Step:
    title = str(_TITLES[code])
    if passes:
        return Step(code, title, words, passes=True, decides=False)
    is_settled_elsewhere = code in _UP_TO_THE_OWNER and _is_owner_gone(explanation)
    fixes = {} if is_settled_elsewhere else _FIXES
    fix, label, permission = fixes.get(code, ("", "", ""))
    return Step(
        code,
        title,
        words,
        passes=False,
        decides=code is explanation.code,
        advice=_advice(explanation, code),
        fix=fix,
        fix_label=label,
        fix_permission=permission,
    )


_ADVICE: dict[Code, str | Promise] = {
    Code.REVOKED: gettext_lazy("Nothing brings it back: issue a new key."),
    Code.ORGANIZATION_SUSPENDED: gettext_lazy("Only staff can resume the organization."),
    Code.OWNER_GONE: gettext_lazy(
        "Hand the key over to the organization or to whoever sees to it: it gets a new secret. Or "
        "make its owner a member again."
    ),
    Code.LOCKED: gettext_lazy("Only staff can unlock it: ask them."),
    Code.DISABLED: gettext_lazy("Enable the key, if whoever disabled it agrees."),
    Code.NOT_YET_VALID: gettext_lazy("Wait until then, or let it begin earlier."),
    Code.EXPIRED: gettext_lazy("Choose a later expiry, or issue a new key."),
    Code.SECRET_RETIRED: gettext_lazy(
        "Put the key's current secret in place, or rotate the key for a new one."
    ),
    Code.FORBIDDEN_ADDRESS: gettext_lazy(
        "If requests shall come from there, add the address to its allowed IPs."
    ),
    Code.INSUFFICIENT_SCOPES: gettext_lazy("If it shall do this, give it the missing scope."),
    Code.RATE_LIMITED: gettext_lazy("Let whoever calls go slower, or raise the rate limit."),
    Code.LIMIT_EXCEEDED: gettext_lazy("Raise the limit: it does not reset by itself."),
}


# What nobody can put right on the key while its owner is gone.
_UP_TO_THE_OWNER = frozenset({Code.DISABLED, Code.INSUFFICIENT_SCOPES})


def _advice(explanation: Explanation, code: Code) -> str:
    if code in _UP_TO_THE_OWNER and _is_owner_gone(explanation):
        return _("See to its owner first.")
    if code is Code.LIMIT_EXCEEDED and explanation.limit.resets_at is not None:
        return _("Raise the limit, or wait until it is full again.")
    if code is Code.INSUFFICIENT_SCOPES:
        lost = sorted(_missing(explanation) & set(explanation.secret.key.scope_codes))
        if lost:
            return _(
                "The key was given %(scopes)s, but its owner does not hold it today. Give that "
                "back to the owner, and the key has it again."
            ) % {"scopes": ", ".join(lost)}
    if code is Code.FORBIDDEN_ADDRESS and _is_denied(explanation):
        return _("If requests shall come from there, remove what denies it.")
    return str(_ADVICE[code])


def _is_owner_gone(explanation: Explanation) -> bool:
    return any(not each.passes for each in explanation.checks if each.code is Code.OWNER_GONE)


def _is_denied(explanation: Explanation) -> bool:
    check = next(each for each in explanation.checks if each.code is Code.FORBIDDEN_ADDRESS)
    address = check.of_question["address"]
    return address is not None and bool(_holding(check.of_key["denied"], address))


def _missing(explanation: Explanation) -> set[str]:
    check = next(each for each in explanation.checks if each.code is Code.INSUFFICIENT_SCOPES)
    return set(check.of_question["scopes"] - check.of_key["scopes"])


# What a check looked at, in a sentence.


def _revoked_input(explanation: Explanation, check: Check) -> str:
    revoked_at = explanation.secret.key.revoked_at
    if revoked_at is None:
        return _("The key is not revoked.")
    return _("The key was revoked on %(date)s.") % {"date": exact(revoked_at)}


def _suspended_input(explanation: Explanation, check: Check) -> str:
    if check.passes:
        return _("The organization is not suspended.")
    return _("Staff suspended the organization: none of its keys is accepted.")


def _owner_input(explanation: Explanation, check: Check) -> str:
    owner = explanation.secret.key.owner
    if owner is None:
        return _("The key is the organization's own; no person has to be there for it.")
    if check.passes:
        return _("It acts for %(who)s, an active member.") % {"who": owner.name_and_address}
    return _("It acts for %(who)s, who is no longer an active member.") % {
        "who": owner.name_and_address
    }


def _locked_input(explanation: Explanation, check: Check) -> str:
    reason = explanation.secret.key.lock_reason
    if check.passes:
        return _("Staff did not lock it.")
    return (
        _("Staff locked it: %(reason)s") % {"reason": reason} if reason else _("Staff locked it.")
    )


def _disabled_input(explanation: Explanation, check: Check) -> str:
    return _("The key is enabled.") if check.passes else _("The key is disabled.")


def _start_input(explanation: Explanation, check: Check) -> str:
    not_before = check.of_key["not_before"]
    if not_before is None:
        return _("It was valid from the beginning.")
    return _("Valid from %(date)s; asked for %(now)s.") % {
        "date": exact(not_before),
        "now": exact(check.of_question["now"]),
    }


def _expiry_input(explanation: Explanation, check: Check) -> str:
    expires_at = check.of_key["expires_at"]
    if expires_at is None:
        return _("It never expires.")
    return _("It expires on %(date)s; asked for %(now)s.") % {
        "date": exact(expires_at),
        "now": exact(check.of_question["now"]),
    }


def _secret_input(explanation: Explanation, check: Check) -> str:
    label = explanation.secret.label
    if check.of_key["is_secret_revoked"]:
        return _("The secret %(label)s was stopped.") % {"label": label}
    ends_at = check.of_key["retires_at"]
    if ends_at is None:
        return _("%(label)s is the current secret.") % {"label": label}
    return _("%(label)s was replaced and works until %(date)s; asked for %(now)s.") % {
        "label": label,
        "date": exact(ends_at),
        "now": exact(check.of_question["now"]),
    }


def _address_input(explanation: Explanation, check: Check) -> str:
    allowed, denied = check.of_key["allowed"], check.of_key["denied"]
    address = check.of_question["address"]
    where = str(address) if address else _("an unknown address")
    if allowed is None and not denied:
        return _("It may be used from anywhere; asked for %(address)s.") % {"address": where}
    if address is None:
        return _("The address is not known, and so is in no list.")
    holding = _holding(denied, address)
    if holding:
        return _("%(address)s is in %(network)s, which is denied.") % {
            "address": where,
            "network": holding,
        }
    if allowed is None:
        return _("%(address)s is not among the denied: %(networks)s.") % {
            "address": where,
            "networks": _named(denied),
        }
    holding = _holding(allowed, address)
    if holding:
        return _("%(address)s is in %(network)s, which is allowed.") % {
            "address": where,
            "network": holding,
        }
    if not allowed:
        return _("No address is allowed: the organization has no server address.")
    return _("%(address)s is not among the allowed: %(networks)s.") % {
        "address": where,
        "networks": _named(allowed),
    }


def _scopes_input(explanation: Explanation, check: Check) -> str:
    held = sorted(check.of_key["scopes"])
    asked = check.of_question["scopes"]
    names = ", ".join(held) or _("none")
    if _is_owner_gone(explanation):
        listed = ", ".join(sorted(explanation.secret.key.scope_codes)) or _("none")
        return _("It holds nothing while its owner is gone; listed: %(listed)s.") % {
            "listed": listed
        }
    if not asked:
        return _("No scope is asked for; it holds: %(held)s.") % {"held": names}
    if check.passes:
        return _("Asked for: %(asked)s. It holds: %(held)s.") % {
            "asked": ", ".join(sorted(asked)),
            "held": names,
        }
    return _("Asked for: %(asked)s. It holds: %(held)s. Missing: %(missing)s.") % {
        "asked": ", ".join(sorted(asked)),
        "held": names,
        "missing": ", ".join(sorted(asked - check.of_key["scopes"])),
    }


_INPUTS: dict[Code, Callable[[Explanation, Check], str]] = {
    Code.REVOKED: _revoked_input,
    Code.ORGANIZATION_SUSPENDED: _suspended_input,
    Code.OWNER_GONE: _owner_input,
    Code.LOCKED: _locked_input,
    Code.DISABLED: _disabled_input,
    Code.NOT_YET_VALID: _start_input,
    Code.EXPIRED: _expiry_input,
    Code.SECRET_RETIRED: _secret_input,
    Code.FORBIDDEN_ADDRESS: _address_input,
    Code.INSUFFICIENT_SCOPES: _scopes_input,
}


def _rates_input(explanation: Explanation) -> str:
    rates = explanation.rates
    if not rates.rates:
        return _("No rate limit bounds it.")
    if rates.windows is None and rates.is_for_now:
        return _("What is left of its rate limits cannot be told: their store does not answer.")
    if rates.windows is None:
        return _("What is left of its rate limits is known for this moment only.")
    return " ".join(map(_window_in_words, rates.windows))


def _window_in_words(window: Window) -> str:
    words = {
        "rate": rate_in_words(window.rate.amount, window.rate.period),
        "left": amount(Decimal(window.remaining)),
    }
    if window.rate.owner == ORGANIZATION:
        return _("Of %(rate)s of all keys together, %(left)s are left.") % words
    return _("Of %(rate)s, %(left)s are left.") % words


def _limit_input(explanation: Explanation) -> str:
    limit = explanation.limit
    if limit.limit is None or limit.remaining is None:
        return _("It has no limit; this costs %(cost)s.") % {"cost": amount(limit.cost)}
    words = _("%(left)s of %(limit)s credits are left; this costs %(cost)s.") % {
        "left": amount(limit.remaining),
        "limit": amount(limit.limit),
        "cost": amount(limit.cost),
    }
    if limit.resets_at is None:
        return words
    reset = LimitReset(str(explanation.secret.key.limit_reset)).label
    return _("%(words)s Full again %(period)s, next on %(date)s.") % {
        "words": words,
        "period": reset,
        "date": exact(limit.resets_at),
    }


def _holding(listed: tuple[str, ...], address: networks.Address) -> str:
    return next((each for each in listed if networks.contains([each], address)), "")


def _named(listed: tuple[str, ...]) -> str:
    named = ", ".join(listed[:_MAX_NAMED])
    return f"{named}, …" if len(listed) > _MAX_NAMED else named
