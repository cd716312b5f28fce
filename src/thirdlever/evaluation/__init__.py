"""Ask a deployment a list of items through inspect: timed and resumable; the records that come back."""
