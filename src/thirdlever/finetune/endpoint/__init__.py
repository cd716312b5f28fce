"""The local endpoint: a server for OpenAI's fine-tuning protocol."""
