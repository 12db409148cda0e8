"""Maps over REST, against the real server."""
