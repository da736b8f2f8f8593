"""One file a verb; none imports another. ``options`` is what several of them take."""
