"""Metrics of supervised tasks: functions of (targets, predictions), one file a kind."""
