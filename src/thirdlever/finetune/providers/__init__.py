"""Fine-tuning services, one file each."""
