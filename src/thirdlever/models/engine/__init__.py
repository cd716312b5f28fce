"""The local inference engine: attention over shared prefixes, batched generation, LoRA adapters."""
