"""From evidence to a verdict: three gates and six questions."""
