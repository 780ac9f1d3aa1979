"""Packaging of mtmoe; tool settings live in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    name="mtmoe",
    version="0.1.0",
    packages=find_packages(include=["mtmoe", "mtmoe.*"])
    + ["mtmoe.tasks"]
    + ["mtmoe.tasks." + name for name in find_packages("tasks")],
    package_dir={"mtmoe.tasks": "tasks"},
    entry_points={"console_scripts": ["mtmoe=mtmoe.cli.main:main"]},
    python_requires=">=3.10",
)
