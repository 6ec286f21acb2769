"""What the wire of OpenRouter looks like, for the tests of it."""

from datetime import UTC, datetime

KEYS = "/api/v1/keys"
KEY = "/api/v1/key"
NOW = datetime(2026, 11, 19, 15, 30, tzinfo=UTC)  # a Thursday
# What the newest clients read, beyond what they require.
ROW = {
    "hash", "name", "label", "disabled", "include_byok_in_limit", "limit", "limit_remaining",
    "limit_reset", "usage", "usage_daily", "usage_weekly", "usage_monthly", "byok_usage",
    "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly", "created_at", "updated_at",
    "creator_user_id", "workspace_id", "expires_at", "external_user", "last_used_at",
}  # fmt: skip
CURRENT = {
    "label", "limit", "limit_remaining", "limit_reset", "include_byok_in_limit", "usage",
    "usage_daily", "usage_weekly", "usage_monthly", "byok_usage", "byok_usage_daily",
    "byok_usage_weekly", "byok_usage_monthly", "creator_user_id", "expires_at", "is_free_tier",
    "is_management_key", "is_provisioning_key", "rate_limit", "workspace_id", "organization_id",
    "allowed_data_regions", "free_model_daily_requests", "budgets", "effective_budget",
}  # fmt: skip
BUDGET = {
    "scope", "budget_id", "guardrail_id", "include_byok", "limit_usd", "spend_usd",
    "remaining_usd", "reset_interval", "resets_at",
}  # fmt: skip
NOT_FOUND = {"error": {"code": 404, "message": "Resource not found"}}


def refusal(response) -> str:
    """Return the message of a reply that refuses, having checked its envelope."""
    body = response.json()
    assert response["Content-Type"] == "application/json"
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    assert body["error"]["code"] == response.status_code
    return body["error"]["message"]


def names(response) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["name"] for row in response.json()["data"]]
