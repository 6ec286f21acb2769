"""Keyhaven's own API under `/v1/`: the dialect that can say all that the core can do.

Its keys follow an API whose vendor is not known, of which four operations are documented:
list, create, read and delete, with `key_name`, `key_scope` and `organization_id`. Those are
exactly as documented; the rest is in their style. What the document leaves open and how it
was decided:
- paths are `/v1/api-keys` and `/v1/api-keys/{key_id}`, credentials a bearer token or X-API-Key;
- `key_scope` is an array (or, as in the document's sample, one text with commas),
  `organization_id` a number (or its digits as text); replies always have array and number;
- `api_key` is the whole key in the reply that creates or rotates it, afterwards its mask;
- creating answers 201, deleting 204; errors are `{"message": …, "errors": {field: […]}}`;
- lists are bare arrays, a page at a time: `?limit=` and `?after=`, the next page in `Link`.
- what needs approval answers 403 with the `code` approval_required, and nothing is written; it
  is asked for at `/v1/approval-requests`, and issued there once somebody approved it.
A member or parameter that is not known is refused: no wish is silently dropped.
"""

from keys.api.dialects.native import (
    approvals,
    audit,
    holder,
    keys,
    leaks,
    organizations,
    policies,
    verification,
    webhooks,
)
from keys.api.dialects.native.dialect import Native

DIALECT = Native

urlpatterns = [
    *keys.urlpatterns,
    *holder.urlpatterns,
    *organizations.urlpatterns,
    *policies.urlpatterns,
    *approvals.urlpatterns,
    *audit.urlpatterns,
    *verification.urlpatterns,
    *webhooks.urlpatterns,
    *leaks.urlpatterns,
]
