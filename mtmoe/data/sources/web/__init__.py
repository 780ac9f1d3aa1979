"""A folder of web text in whatever layout it has: docs/web_text.md."""
