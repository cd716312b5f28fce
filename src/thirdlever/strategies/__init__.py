"""The plug-in contract, and strategy specs such as `rag:k=20`."""
