"""Channels and actions by number, as the simulation counts them, and units of time."""

CHANNELS = ("search", "recommendation", "alert", "notification", "navigation")
SEARCH, RECOMMENDATION, ALERT, NOTIFICATION, NAVIGATION = range(5)

ACTIONS = (
    "JOB_SEARCH",
    "VIEW",
    "SAVE",
    "DISMISS",
    "APPLY",
    "INTERACTION",
    "SHORT_VIEW",
    "LONG_VIEW",
)
JOB_SEARCH, VIEW, SAVE, DISMISS, APPLY, INTERACTION, SHORT_VIEW, LONG_VIEW = range(8)
IGNORED = -1

RESPONSES = ("rejected", "interview", "confirmed_hire")

MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE
