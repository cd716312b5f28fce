"""All rendering and all sentences: tables, Markdown, HTML, JSON."""
