"""A question about a key: would it be let through, from there, for that?"""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import roles, secrets
from keys.forms.fields import AddressField, MomentField
from keys.forms.search import SearchForm
from keys.models.fields import AMOUNT_PLACES
from keys.roles import Permission
from keys.usage import MAX_COST

_MAX_SCOPES = 100


class ExplainForm(forms.Form):
    """What is asked. It is posted, since `key` may be a whole secret."""

    # What a call to the portal's own API does -> the permission that it asks for.
    METHODS = {
        "GET": (Permission.VIEW_APIKEY, gettext_lazy("GET: see a key")),
        "POST": (Permission.ADD_APIKEY, gettext_lazy("POST: issue a key")),
        "PATCH": (Permission.CHANGE_APIKEY, gettext_lazy("PATCH: change a key")),
        "DELETE": (Permission.DELETE_APIKEY, gettext_lazy("DELETE: revoke a key")),
    }

    key = forms.CharField(
        label=gettext_lazy("Key"),
        max_length=secrets.MAX_SECRET_LENGTH,
        help_text=gettext_lazy(
            "Its number, identifier or label, or the whole key. A whole key is looked up and "
            "forgotten: it is not stored, logged or shown."
        ),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "off", "class": "mono"}
        ),
    )
    address = AddressField(
        label=gettext_lazy("Address"),
        required=False,
        help_text=gettext_lazy("Where the request comes from. Empty: it cannot be told."),
    )
    scopes = forms.CharField(
        label=gettext_lazy("Scopes"),
        max_length=2000,
        required=False,
        help_text=gettext_lazy("What the service asks for, as READ orders:read. Empty: none."),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "off", "class": "mono"}
        ),
    )
    method = forms.ChoiceField(
        label=gettext_lazy("Call to this portal"),
        required=False,
        choices=[
            ("", gettext_lazy("No, to another service")),
            *((name, label) for name, (_permission, label) in METHODS.items()),
        ],
        help_text=gettext_lazy("Asks for the scope that such a call needs; it costs nothing."),
    )
    cost = forms.DecimalField(
        label=gettext_lazy("Cost"),
        min_value=0,
        max_value=MAX_COST,
        decimal_places=AMOUNT_PLACES,
        required=False,
        help_text=gettext_lazy("In credits. Empty: 1, as for a service that names no cost."),
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
    )
    at = MomentField(label=gettext_lazy("Moment"), help_text=gettext_lazy("In UTC. Empty: now."))

    @property
    def is_sensitive(self) -> bool:
        """Whether so much of a secret was typed as the key that no page may repeat it."""
        return SearchForm({"search": self.data.get("key", "")}).is_sensitive

    def clean_key(self) -> str:
        """Return the whole secret out of a pasted line, or else what was typed."""
        text = self.cleaned_data["key"]
        search = SearchForm({"search": text})
        return (search.is_valid() and search.secret) or text

    def clean_scopes(self) -> frozenset[str]:
        codes = list(filter(None, re.split(r"[\s,;]+", self.cleaned_data["scopes"])))
        if len(codes) > _MAX_SCOPES:
            raise ValidationError(_("Name at most %(max)d scopes."), params={"max": _MAX_SCOPES})
        for code in codes:
            if not roles.is_scope_code(code):
                raise ValidationError(
                    _("“%(code)s” is no scope; write it as READ or orders:read."),
                    params={"code": code},
                )
        return frozenset(codes)

    def question(self) -> dict[str, Any]:
        """Return what was asked as arguments of `explain_secret`."""
        asked = self.cleaned_data
        permission, _label = self.METHODS.get(asked["method"], (None, ""))
        cost = {} if asked["cost"] is None else {"cost": asked["cost"]}
        return {
            "address": asked["address"],
            "scopes": asked["scopes"],
            "permission": permission,
            "at": asked["at"],
            **cost,
        }

    def forget_key(self, instead: str = "") -> None:
        """Put something else where a whole secret was typed, before the form is shown again."""
        self.data = self.data.copy()
        self.data["key"] = instead
