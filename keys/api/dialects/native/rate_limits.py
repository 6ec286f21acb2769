"""Rate limits as they are set and told, of keys and of the organization."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from keys.api.dialects.native.dialect import Body
from keys.api.fields import Integer
from keys.models.rates import Period, RateLimit, shortest_first
from keys.services.rate_limits import MAX_AMOUNT


class RateLimitListSerializer(serializers.ListSerializer):
    """Rate limits, the shortest period first."""

    def get_attribute(self, instance: Any) -> Any:
        known = getattr(instance, "known_rate_limits", None)
        if known is None:
            return super().get_attribute(instance).all()
        return [RateLimit(amount=amount, period=period) for amount, period in known]

    def to_representation(self, data: Any) -> list[Any]:
        return super().to_representation(shortest_first(data))


class RateLimitSerializer(Body):
    """That no more than `amount` requests are accepted in any `period`; one for each period."""

    amount = Integer(min_value=1, max_value=MAX_AMOUNT)
    period = serializers.ChoiceField(Period.choices)

    class Meta:
        list_serializer_class = RateLimitListSerializer

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        entry = super().to_internal_value(data)
        # In a PATCH nothing is required, but half a limit is none.
        missing = self.fields.keys() - entry.keys()
        if missing:
            raise serializers.ValidationError(
                {name: [_("This field is required.")] for name in sorted(missing)}
            )
        return entry
