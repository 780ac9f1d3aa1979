"""Routers: one module a published way of choosing experts for tokens."""
