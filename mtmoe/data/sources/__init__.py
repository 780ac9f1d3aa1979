"""Where raw text comes from: one module a format."""
