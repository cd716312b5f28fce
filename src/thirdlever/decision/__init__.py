"""Assumptions, costs, payback, evidence, gates, verdict: numbers and reason codes."""
