"""What docs/huggingface.md says of the Switch layer in the release tested with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import transformers
from oracles.transformers_models import SIZES, SPARSE
from transformers import SwitchTransformersConfig
from transformers.models.switch_transformers import modeling_switch_transformers

ROOT = Path(__file__).resolve().parents[3]


def layer(**fields):
    """One sparse layer, all tokens going to its first expert."""
    config = SwitchTransformersConfig(**SIZES | SPARSE | fields)
    torch.manual_seed(0)
    made = modeling_switch_transformers.SwitchTransformersSparseMLP(config)
    with torch.no_grad():
        made.router.classifier.weight.zero_()
        made.router.classifier.weight[0] = 1.0
    return made


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the lock has an older release for Python 3.10"
)
def test_the_release_is_the_documented_one():
    text = (ROOT / "docs" / "huggingface.md").read_text(encoding="utf-8")
    torch_release = torch.__version__.partition("+")[0]
    assert f"transformers {transformers.__version__} and torch {torch_release}" in text


def test_capacity_is_enforced_by_sequence_and_dropped_tokens_are_zero():
    x = torch.rand(2, 6, 16)
    y = layer(expert_capacity=4).eval()(x)
    assert (y[:, :4].abs().sum(-1) > 0).all()
    assert (y[:, 4:] == 0).all()


def test_router_noise_reaches_the_experts():
    made = layer(router_jitter_noise=0.5).train()
    x = torch.rand(1, 4, 16)
    before = x.clone()
    made(x)
    assert not torch.equal(x, before)
