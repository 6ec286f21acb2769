"""Which of the decisions about a key are shown."""

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy

from keys import networks
from keys.models import Decision
from keys.verification import Code


class DecisionFilter(forms.Form):
    """Narrows the decisions about a key by outcome and by address."""

    REFUSED = "refused"

    outcome = forms.ChoiceField(label=gettext_lazy("Outcome"), required=False)
    address = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=64,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": "mono"}),
    )

    def __init__(self, *args, words: dict[Code, str], **kwargs) -> None:
        """Take how each outcome is said."""
        super().__init__(*args, **kwargs)
        self.fields["outcome"].choices = [
            ("", gettext_lazy("Any")),
            (self.REFUSED, gettext_lazy("Every refusal")),
            *((code.value, words[code]) for code in Code if code is not Code.NOT_FOUND),
        ]

    def clean_address(self) -> str:
        text = self.cleaned_data["address"]
        if not text:
            return ""
        try:
            return str(networks.parse_address(text))
        except ValueError as error:
            raise ValidationError("%(problem)s", params={"problem": str(error)}) from None

    def narrow(self, decisions: QuerySet[Decision]) -> QuerySet[Decision]:
        """Return the decisions that fit; a field with a mistake is left out."""
        asked = self.cleaned_data if self.is_bound and self.errors is not None else {}
        outcome, address = asked.get("outcome"), asked.get("address")
        if outcome == self.REFUSED:
            decisions = decisions.exclude(outcome=Code.VALID)
        elif outcome:
            decisions = decisions.filter(outcome=outcome)
        return decisions.filter(address=address) if address else decisions
