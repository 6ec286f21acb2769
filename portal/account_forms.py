"""The forms of django-allauth in the portal's own words, ready to type into."""

from typing import Any

from allauth.account import forms as account
from allauth.core import context
from allauth.mfa.base import forms as mfa
from django import forms
from django.utils.translation import gettext_lazy as _

from keys.forms.people import NameForm
from keys.views.invitations import invitation_of

_LABELS = {
    "oldpassword": _("Current password"),
    "password1": _("New password"),
    "password2": _("New password, again"),
    "remember": _("Stay signed in"),
}


class _OwnWords(forms.Form):
    """Labels in sentence case instead of placeholders; `focused` is where typing begins."""

    labels: dict[str, Any] = _LABELS
    focused = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs.pop("placeholder", None)
            field.label = self.labels.get(name, field.label)
        if self.focused:
            self.fields[self.focused].widget.attrs["autofocus"] = True


class SignInForm(_OwnWords, account.LoginForm):
    focused = "login"


class SignUpForm(_OwnWords, NameForm, account.SignupForm):
    labels = {"password1": _("Password"), "password2": _("Password, again")}
    focused = "email"

    field_order = ["email", "first_name", "last_name", "password1", "password2"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["first_name"].help_text = _("What others may call you; you can leave it empty.")
        # Who was invited opens an account for that address, which the link has confirmed.
        invitation = invitation_of(context.request)
        if invitation is not None:
            self.fields["email"].disabled = True
            self.initial["email"] = invitation.email
            self.fields["email"].widget.attrs.pop("autofocus")
            self.fields["first_name"].widget.attrs["autofocus"] = True


class AddEmailForm(_OwnWords, account.AddEmailForm):
    pass


class ChangePasswordForm(_OwnWords, account.ChangePasswordForm):
    focused = "oldpassword"


class SetPasswordForm(_OwnWords, account.SetPasswordForm):
    focused = "password1"


class ResetPasswordForm(_OwnWords, account.ResetPasswordForm):
    focused = "email"


class ResetPasswordKeyForm(_OwnWords, account.ResetPasswordKeyForm):
    focused = "password1"


class ReauthenticateForm(_OwnWords, account.ReauthenticateForm):
    focused = "password"


class SecondFactorForm(_OwnWords, mfa.AuthenticateForm):
    labels = {"code": _("Code")}
    focused = "code"


class SecondFactorAgainForm(_OwnWords, mfa.ReauthenticateForm):
    labels = {"code": _("Code")}
    focused = "code"
