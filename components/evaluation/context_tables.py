"""Names in the tables on long contexts and in-session vectors."""

MEASURED = "measured.json"

CHUNKS, ONE_PASS, NEWEST = "chunks, averaged", "one pass", "newest chunk"
EVERYBODY, LONG = "all", "more than one chunk"

RECENT, DAILY, SO_FAR = "most recent label", "daily vector", "whole trail up to now"
BOTH = "daily vector and last actions"
ANY, NEW = "any", "not in the trail"

CUTOFFS = (1, 3, 5)
