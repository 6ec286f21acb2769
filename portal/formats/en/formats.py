"""Moments in English, with their zone: `21 Nov 2026, 14:03 UTC`."""

DATE_FORMAT = "j M Y"
DATETIME_FORMAT = "j M Y, H:i e"
SHORT_DATE_FORMAT = DATE_FORMAT
SHORT_DATETIME_FORMAT = DATETIME_FORMAT
TIME_FORMAT = "H:i"
MONTH_DAY_FORMAT = "j M"
# Ours: a day as the heading of what happened on it.
WEEKDAY_FORMAT = "l, j F Y"
