"""How long tests wait. It costs nothing where what they wait for comes, so it is enough for any machine."""

SECONDS = 120.0  # the longest that a test waits for something that should come soon
