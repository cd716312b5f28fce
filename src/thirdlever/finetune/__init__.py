"""The local trainer, managed fine-tuning jobs, and distillation."""
