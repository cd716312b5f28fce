"""Dated facts about models and providers: prices, GPU and tuning rates, retirements, listings."""
