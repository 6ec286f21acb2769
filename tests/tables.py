"""What all tables hold, to see whether something was written."""

from django.apps import apps
from django.contrib.sessions.models import Session
from django.db.models import Model

from keys.models import (
    Decision,
    KeySecret,
    KeyUsage,
    MinuteBucket,
    OrganizationBucket,
    OrganizationMinute,
    ScopeUse,
    UsageBucket,
)

# That a request came is counted, whatever became of it; a session remembers where one was.
_COUNTING = {
    *(KeyUsage, UsageBucket, MinuteBucket, OrganizationBucket, OrganizationMinute),
    *(ScopeUse, Decision, Session),
}
_COUNTED = {(KeySecret, "last_used_at")}


def state() -> dict[str, list]:
    """Return every row of every table by the model's name, but for what counts requests."""
    return {
        model._meta.label: list(model._base_manager.order_by("pk").values_list(*_columns(model)))
        for model in apps.get_models()
        if model not in _COUNTING
    }


def _columns(model: type[Model]) -> list[str]:
    names = [column.attname for column in model._meta.concrete_fields]
    return [name for name in names if (model, name) not in _COUNTED]
