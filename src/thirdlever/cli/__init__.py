"""The commands, in four files by topic."""
