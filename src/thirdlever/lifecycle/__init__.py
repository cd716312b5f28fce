"""Models come and go: what was known of one when it was measured, what is known now, and what takes its place."""
