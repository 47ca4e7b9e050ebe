"""What the package shows of itself: a conversation about a rendered video."""
