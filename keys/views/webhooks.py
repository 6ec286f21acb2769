"""Webhooks: where the organization is told of what happens, and what was sent there."""

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from keys import policy, services
from keys.forms.webhooks import NewWebhookForm, WebhookForm, WebhookSecretForm
from keys.models import Webhook, WebhookDelivery
from keys.roles import Permission
from keys.views.base import OrganizationRequest, in_organization, render_page
from keys.views.deleting import confirm_deletion
from keys.views.numbered import take_numbered
from keys.views.once import claim

ROWS_SHOWN = 25


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def webhooks(request: OrganizationRequest) -> HttpResponse:
    """The webhooks; add one, and the answer shows its secret once."""
    is_post = request.method == "POST"
    needed = Permission.CHANGE_WEBHOOK if is_post else Permission.VIEW_WEBHOOK
    policy.require(request.user, needed, request.organization)
    form = NewWebhookForm(request.POST if is_post else None)
    if form.is_valid():
        if not claim(request, form):
            messages.info(request, _("That was done already; nothing was done twice."))
            return redirect("keys:webhooks", request.organization.slug)
        values = {name: form.cleaned_data[name] for name in ("url", "description", "events")}
        try:
            webhook, secret = services.create_webhook(
                actor=request.user, organization=request.organization, **values
            )
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            context = {"webhook": webhook, "secret": secret, "is_new": True}
            return render_page(request, "keys/webhook_secret.html", context)
    rows = policy.visible(request.user, request.organization.webhooks.all())
    context = {"form": form, "webhooks": rows, "is_private_allowed": _allows_private()}
    return render_page(request, "keys/webhooks.html", context)


@require_safe
@in_organization
def webhook_detail(request: OrganizationRequest, webhook_id: int) -> HttpResponse:
    """One webhook, and what was sent to it, newest first."""
    webhook = _get_webhook(request, webhook_id)
    context = {
        "webhook": webhook,
        "page": take_numbered(webhook.deliveries.all(), request.GET.get("page"), ROWS_SHOWN),
        "old_secret_signs": webhook.old_secret_until is not None
        and webhook.old_secret_until > timezone.now(),
        "secret_form": WebhookSecretForm(),
    }
    return render_page(request, "keys/webhook.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def webhook_edit(request: OrganizationRequest, webhook_id: int) -> HttpResponse:
    """Change where a webhook leads and what it is told."""
    webhook = _get_webhook(request, webhook_id)
    policy.require(request.user, Permission.CHANGE_WEBHOOK, webhook)
    form = WebhookForm(request.POST or None, initial=WebhookForm.values_of(webhook))
    if form.is_valid():
        try:
            services.update_webhook(actor=request.user, webhook=webhook, **form.cleaned_data)
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(request, _("The webhook is saved."))
            return _to_webhook(request, webhook)
    return render_page(request, "keys/webhook_form.html", {"form": form, "webhook": webhook})


@require_POST
@in_organization
def webhook_switch(request: OrganizationRequest, webhook_id: int) -> HttpResponse:
    """Enable a webhook, or disable one that is enabled."""
    webhook = _get_webhook(request, webhook_id)
    webhook = services.update_webhook(
        actor=request.user, webhook=webhook, enabled=not webhook.enabled
    )
    said = _("The webhook is enabled.") if webhook.enabled else _("The webhook is disabled.")
    messages.success(request, said)
    return _to_webhook(request, webhook)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def webhook_delete(request: OrganizationRequest, webhook_id: int) -> HttpResponse:
    """Delete a webhook, with what waits for it."""
    webhook = _get_webhook(request, webhook_id)
    policy.require(request.user, Permission.CHANGE_WEBHOOK, webhook)
    return confirm_deletion(
        request,
        "keys/webhook_delete.html",
        {"webhook": webhook},
        delete=lambda: services.delete_webhook(actor=request.user, webhook=webhook),
        done=_("The webhook is deleted."),
        back=reverse("keys:webhooks", args=[request.organization.slug]),
    )


@never_cache
@require_POST
@in_organization
def webhook_rotate(request: OrganizationRequest, webhook_id: int) -> HttpResponse:
    """Give a webhook a new secret; the answer shows it once."""
    webhook = _get_webhook(request, webhook_id)
    policy.require(request.user, Permission.CHANGE_WEBHOOK, webhook)
    form = WebhookSecretForm(request.POST)
    if not form.is_valid() or not claim(request, form):
        messages.info(request, _("That was done already; nothing was done twice."))
        return _to_webhook(request, webhook)
    secret = services.rotate_webhook_secret(actor=request.user, webhook=webhook)
    context = {"webhook": webhook, "secret": secret, "is_new": False}
    return render_page(request, "keys/webhook_secret.html", context)


@require_POST
@in_organization
def webhook_test(request: OrganizationRequest, webhook_id: int) -> HttpResponse:
    """Have a message sent that says nothing; its page shows what is answered."""
    webhook = _get_webhook(request, webhook_id)
    delivery = services.test_webhook(actor=request.user, webhook=webhook)
    return _to_delivery(request, delivery)


@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def webhook_delivery(
    request: OrganizationRequest, webhook_id: int, delivery_id: int
) -> HttpResponse:
    """What was sent, and what was answered; send it again."""
    webhook = _get_webhook(request, webhook_id)
    rows = webhook.deliveries.select_related("webhook__organization")
    delivery = get_object_or_404(rows, pk=delivery_id)
    if request.method == "POST":
        try:
            delivery = services.replay_delivery(actor=request.user, delivery=delivery)
        except ValidationError as problems:
            messages.error(request, " ".join(problems.messages))
        return _to_delivery(request, delivery)
    context = {"webhook": webhook, "delivery": delivery}
    return render_page(request, "keys/webhook_delivery.html", context)


def _get_webhook(request: OrganizationRequest, webhook_id: int) -> Webhook:
    policy.require(request.user, Permission.VIEW_WEBHOOK, request.organization)
    rows = policy.visible(request.user, request.organization.webhooks.all())
    return get_object_or_404(rows.select_related("organization"), pk=webhook_id)


def _to_webhook(request: OrganizationRequest, webhook: Webhook) -> HttpResponse:
    return redirect("keys:webhook", request.organization.slug, webhook.pk)


def _to_delivery(request: OrganizationRequest, delivery: WebhookDelivery) -> HttpResponse:
    slug = request.organization.slug
    return redirect("keys:webhook-delivery", slug, delivery.webhook_id, delivery.pk)


def _allows_private() -> bool:
    return bool(settings.WEBHOOK_ALLOWED_NETWORKS)
