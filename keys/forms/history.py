"""Which of the decisions about a key are shown."""

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy

from keys.forms.fields import AddressField
from keys.models import Decision
from keys.verification import Code


class DecisionFilter(forms.Form):
    """Narrows the decisions about a key by outcome and by address."""

    REFUSED = "refused"

    outcome = forms.ChoiceField(label=gettext_lazy("Outcome"), required=False)
    address = AddressField(label=gettext_lazy("Address"), required=False)

    def __init__(self, *args, words: dict[Code, str], **kwargs) -> None:
        """Take how each outcome is said."""
        super().__init__(*args, **kwargs)
        self.fields["outcome"].choices = [
            ("", gettext_lazy("Any")),
            (self.REFUSED, gettext_lazy("Every refusal")),
            *((code.value, words[code]) for code in Code if code is not Code.NOT_FOUND),
        ]

    def narrow(self, decisions: QuerySet[Decision]) -> QuerySet[Decision]:
        """Return the decisions that fit; a field with a mistake is left out."""
        self.is_valid()
        outcome, address = self.cleaned_data.get("outcome"), self.cleaned_data.get("address")
        if outcome == self.REFUSED:
            decisions = decisions.exclude(outcome=Code.VALID)
        elif outcome:
            decisions = decisions.filter(outcome=outcome)
        return decisions.filter(address=str(address)) if address else decisions
