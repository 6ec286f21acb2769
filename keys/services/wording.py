"""What mails say, by what they are about."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from keys.models.approvals import ApprovalKind
from keys.models.leaks import LeakOutcome
from keys.models.messages import ALWAYS_SENT, Kind
from keys.services.approval_words import narrowings_in_words


class Item(NamedTuple):
    """One of the things that a mail tells of: its name, what became of it, where to look."""

    name: str
    sentence: str
    link: str


@dataclass(frozen=True)
class Wording:
    """How mails of one kind are worded.

    `one` is the subject about a single thing, `many` about several; both know its name.
    """

    kind: Kind
    one: str | Promise
    many: Callable[[int], str]
    sentence: Callable[[dict[str, Any]], str]
    advice: str | Promise
    # The page that its things link to, and what of the message says which.
    page: str = "keys:detail"
    place: tuple[str, ...] = ("slug", "identifier")
    # `one` and `many` of what went as far as a step, by that.
    steps: Mapping[str, tuple[str | Promise, Callable[[int], str]]] = field(default_factory=dict)

    @property
    def is_security(self) -> bool:
        """Whether nobody can be spared such mails."""
        return self.kind in ALWAYS_SENT

    def of(self, things: Sequence[dict[str, Any]]) -> "Wording":
        """Return how these are worded: by their step, where that is the same."""
        step, *others = {each.get("step", "") for each in things}
        if others or step not in self.steps:
            return self
        one, many = self.steps[step]
        return replace(self, one=one, many=many)

    def subject(self, first: Item, count: int) -> str:
        """Return what the mail is about, in a line."""
        return str(self.one) % {"name": first.name} if count == 1 else self.many(count)

    def intro(self, count: int) -> str:
        """Return how the mail begins."""
        return self.many(count)

    def item(self, data: dict[str, Any]) -> Item:
        """Return one of its things, of what the message knows."""
        where = [data[name] for name in self.place]
        return Item(data["name"], self.sentence(data), reverse(self.page, args=where))


def _issued(data: dict[str, Any]) -> str:
    who = data["actor"] or _("the operator")
    values = {"label": data["label"], "organization": data["organization"], "who": who}
    if not data.get("address"):
        return _("%(label)s in %(organization)s, issued by %(who)s.") % values
    return _("%(label)s in %(organization)s, issued by %(who)s from %(address)s.") % {
        **values,
        "address": data["address"],
    }


def _expiring(data: dict[str, Any]) -> str:
    return _("%(label)s in %(organization)s expires on %(date)s.") % {
        **data,
        "date": _moment(data["expires_at"]),
    }


def _expired(data: dict[str, Any]) -> str:
    return _("%(label)s in %(organization)s expired on %(date)s.") % {
        **data,
        "date": _moment(data["expires_at"]),
    }


def _old_secret(data: dict[str, Any]) -> str:
    values = {**data, "used": _moment(data["used_at"])}
    if data.get("ends_at"):
        values["end"] = _moment(data["ends_at"])
        return (
            _(
                "%(label)s in %(organization)s was replaced, was last used on %(used)s, and works "
                "until %(end)s at the latest."
            )
            % values
        )
    return _("%(label)s in %(organization)s was replaced, and was last used on %(used)s.") % values


def _idle(data: dict[str, Any]) -> str:
    return _("%(label)s in %(organization)s. Enable it again on its page if it is needed.") % data


def _leak(data: dict[str, Any]) -> str:
    done = {
        LeakOutcome.NOTIFY: _("It still works: rotate or revoke it now."),
        LeakOutcome.DISABLE: _("The key was disabled. Rotate it, then enable it again."),
        LeakOutcome.ROTATE: _("That secret no longer works. Rotate the key to get a new one."),
        LeakOutcome.NOTHING: _("It no longer worked when it was found."),
    }[data["outcome"]]
    sentence = _("%(label)s in %(organization)s was found by somebody.") % data
    where = _("Found at: %(source)s") % data if data["source"] else ""
    return " ".join(filter(None, (sentence, done, where)))


def _approval(data: dict[str, Any]) -> str:
    sentence = {
        "requested": _("%(actor)s asks for it in %(organization)s."),
        "approved": _("%(actor)s approved it in %(organization)s."),
        "denied": _("%(actor)s denied it in %(organization)s."),
    }[data["step"]] % _with_actor(data)
    quoted = f"“{data['text']}”" if data["text"] else ""
    return " ".join(filter(None, (sentence, quoted, _narrowed(data), _next_step(data))))


def _narrowed(data: dict[str, Any]) -> str:
    """Return what of it was approved otherwise than it was asked for."""
    if not data.get("narrowed"):
        return ""
    return _("Not all of it: %(changes)s.") % {"changes": narrowings_in_words(data["narrowed"])}


def _next_step(data: dict[str, Any]) -> str:
    """Return until when something is left to do; what an older release wrote does not know."""
    if not data.get("ends_at"):
        return ""
    end = {"end": _moment(data["ends_at"])}
    match data["step"], data["kind"]:
        case "requested", _kind:
            return _("Approve or deny it by %(end)s; then it is over.") % end
        case "approved", ApprovalKind.ISSUE:
            return _("Issue the key yourself by %(end)s; then the approval is over.") % end
        case "approved", _kind:
            return _("It counts from now on.")
    return ""


def _policy(data: dict[str, Any]) -> str:
    sentence = _("%(actor)s changed the rules for keys. Keys that break them are listed there.")
    return sentence % _with_actor(data)


def _webhook(data: dict[str, Any]) -> str:
    return _("In %(organization)s. It did not take what was sent for days.") % data


def _member(data: dict[str, Any]) -> str:
    return _("%(actor)s made you a member, in the role %(role)s.") % _with_actor(data)


def _removed(data: dict[str, Any]) -> str:
    sentence = _("You were removed from %(organization)s.") % data
    stopped = _("The keys that you own there no longer work.") if data["had_keys"] else ""
    return " ".join(filter(None, (sentence, stopped)))


def _with_actor(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data for a sentence that begins with whoever did it."""
    return {**data, "actor": data["actor"] or _("The operator")}


def _moment(text: str) -> str:
    return date_format(datetime.fromisoformat(text), "DATETIME_FORMAT")


WORDING: dict[str, Wording] = {
    each.kind: each
    for each in (
        Wording(
            Kind.ISSUED,
            gettext_lazy("The key “%(name)s” was issued"),
            lambda n: ngettext("A key was issued", "%(count)d keys were issued", n) % {"count": n},
            _issued,
            gettext_lazy("You know nothing of this? Then revoke the key on its page at once."),
        ),
        Wording(
            Kind.EXPIRING,
            gettext_lazy("The key “%(name)s” expires soon"),
            lambda n: (
                ngettext("A key expires soon", "%(count)d keys expire soon", n) % {"count": n}
            ),
            _expiring,
            gettext_lazy("What uses them stops then. Extend or replace what is still needed."),
        ),
        Wording(
            Kind.EXPIRED,
            gettext_lazy("The key “%(name)s” expired"),
            lambda n: ngettext("A key expired", "%(count)d keys expired", n) % {"count": n},
            _expired,
            gettext_lazy("Give it a later end if it is still needed, or revoke it."),
        ),
        Wording(
            Kind.OLD_SECRET,
            gettext_lazy("The old secret of “%(name)s” is still used"),
            lambda n: (
                ngettext(
                    "A replaced secret is still used",
                    "%(count)d replaced secrets are still used",
                    n,
                )
                % {"count": n}
            ),
            _old_secret,
            gettext_lazy("Something was not changed over yet. The activity of the key tells what."),
            "keys:rotation",
        ),
        Wording(
            Kind.IDLE,
            gettext_lazy("The key “%(name)s” was disabled: nobody used it"),
            lambda n: (
                ngettext(
                    "A key was disabled because nobody used it",
                    "%(count)d keys were disabled because nobody used them",
                    n,
                )
                % {"count": n}
            ),
            _idle,
            gettext_lazy("The organization's rules disable keys that lie idle."),
        ),
        Wording(
            Kind.APPROVAL,
            gettext_lazy("Approval of “%(name)s”"),
            lambda n: (
                ngettext("A request for approval", "%(count)d requests for approval", n)
                % {"count": n}
            ),
            _approval,
            "",
            "keys:approval",
            ("slug", "request"),
            {
                "requested": (
                    gettext_lazy("Asked for: “%(name)s”"),
                    lambda n: (
                        ngettext(
                            "Somebody asks for approval", "%(count)d requests wait for approval", n
                        )
                        % {"count": n}
                    ),
                ),
                "approved": (
                    gettext_lazy("Approved: “%(name)s”"),
                    lambda n: (
                        ngettext("A request was approved", "%(count)d requests were approved", n)
                        % {"count": n}
                    ),
                ),
                "denied": (
                    gettext_lazy("Denied: “%(name)s”"),
                    lambda n: (
                        ngettext("A request was denied", "%(count)d requests were denied", n)
                        % {"count": n}
                    ),
                ),
            },
        ),
        Wording(
            Kind.POLICY,
            gettext_lazy("The rules for keys in %(name)s changed"),
            lambda n: (
                ngettext(
                    "The rules for keys changed", "The rules for keys changed %(count)d times", n
                )
                % {"count": n}
            ),
            _policy,
            gettext_lazy("Look whether your keys still fit."),
            "keys:hygiene",
            ("slug",),
        ),
        Wording(
            Kind.WEBHOOK,
            gettext_lazy("The webhook “%(name)s” was switched off"),
            lambda n: (
                ngettext("A webhook was switched off", "%(count)d webhooks were switched off", n)
                % {"count": n}
            ),
            _webhook,
            gettext_lazy("What waits for it is kept for some days: repair it, then enable it."),
            "keys:webhook",
            ("slug", "webhook"),
        ),
        Wording(
            Kind.MEMBER,
            gettext_lazy("You are a member of %(name)s"),
            lambda n: (
                ngettext("You became a member", "You became a member of %(count)d organizations", n)
                % {"count": n}
            ),
            _member,
            "",
            "keys:overview",
            ("slug",),
        ),
        Wording(
            Kind.REMOVED,
            gettext_lazy("You are no longer a member of %(name)s"),
            lambda n: (
                ngettext(
                    "You are no longer a member",
                    "You are no longer a member of %(count)d organizations",
                    n,
                )
                % {"count": n}
            ),
            _removed,
            "",
            "keys:home",
            (),
        ),
        Wording(
            Kind.LEAK,
            gettext_lazy("Somebody found the key “%(name)s”"),
            lambda n: (
                ngettext(
                    "Somebody found a key of yours", "Somebody found %(count)d keys of yours", n
                )
                % {"count": n}
            ),
            _leak,
            gettext_lazy(
                "A key that was in the open once may have been copied. Replace it wherever it is "
                "used, and look at its activity for uses that nobody knows of."
            ),
        ),
    )
}
