"""What people look for: a key among many, the answer for one address."""

import re
from functools import cached_property

from django import forms
from django.utils.translation import gettext_lazy

from keys import search, secrets, snapshots
from keys.forms.fields import AddressField


class SearchForm(forms.Form):
    """What somebody looks for among keys: a part of a name, or a whole secret."""

    search = forms.CharField(required=False, max_length=secrets.MAX_SECRET_LENGTH)

    @cached_property
    def secret(self) -> str | None:
        """The whole secret that was typed, alone or in a line such as a header, or None.

        It may be mistyped, and of no key.
        """
        text = self.cleaned_data.get("search", "")
        words = re.findall(r"[\w-]+", text)
        own = next((word for word in words if secrets.find_format(word)), None)
        # Other systems' secrets look like other words.
        found = own or next((word for word in text.split() if snapshots.find_secret(word)), None)
        return found or next((word for word in words if secrets.is_whole(word)), None)

    @property
    def is_sensitive(self) -> bool:
        """Whether what was typed holds so much of a secret that no URL may show it."""
        return bool(self.problem)

    @property
    def problem(self) -> str:
        """Why what was typed is not looked for in lists, nor put into a URL; empty: it may be."""
        return search.problem_of(self.data.get("search", "").strip())


class AddressForm(forms.Form):
    """An address to try a key from."""

    address = AddressField(label=gettext_lazy("Address"))
