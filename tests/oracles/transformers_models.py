"""Randomly initialised models of `transformers`, and what they compute.

torch runs on one thread, so that it does not take TensorFlow's.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

# As square as can be: a matrix that is transposed by mistake has the right shape.
SIZES = {
    "vocab_size": 32,
    "d_model": 16,
    "d_kv": 4,
    "d_ff": 16,
    "num_heads": 4,
    "num_layers": 2,
    "decoder_start_token_id": 0,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of checkpoint.

    Attributes:
      name: the class without its suffix, `T5`, `MT5` or `SwitchTransformers`.
      fields: of its config, beside `SIZES`.
      own_logits: whether the logits have a matrix of their own.
    """

    name: str
    fields: dict[str, Any]
    own_logits: bool

    @property
    def model_class(self) -> Any:
        """The class with a language model's head."""
        return getattr(transformers, f"{self.name}ForConditionalGeneration")

    def model(self, seed: int = 0) -> Any:
        """Returns a model all of whose parameters are random, norms included."""
        config_class = getattr(transformers, f"{self.name}Config")
        model = self.model_class(config_class(**SIZES | self.fields)).eval()
        torch.manual_seed(seed)
        if self.own_logits:
            model.lm_head.weight = nn.Parameter(model.lm_head.weight.clone())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                noise = torch.randn_like(parameter)
                if parameter.ndim == 1:
                    parameter.copy_(1 + 0.3 * noise)
                elif "embed" in name or "shared" in name or "bias" in name:
                    parameter.copy_(noise)
                else:
                    parameter.copy_(noise * parameter.shape[1] ** -0.5)
            for stack in (model.encoder, model.decoder):
                stack.embed_tokens.weight.copy_(model.shared.weight)
        return model

    def save(self, folder: Path, seed: int = 0) -> Any:
        """Saves a random model as its users do; returns it as it loads again."""
        self.model(seed).save_pretrained(folder)
        return self.load(folder)

    def load(self, folder: Path) -> Any:
        """Loads a folder, in which nothing may be missing or left over."""
        model, info = self.model_class.from_pretrained(folder, output_loading_info=True)
        assert not info["missing_keys"], info
        assert not info["unexpected_keys"], info
        assert not info["mismatched_keys"], info
        return model.eval()


# Tied and scaled, untied and not scaled, and what transformers makes of the rest.
GATED = {"feed_forward_proj": "gated-gelu"}
SPARSE = {
    "num_experts": 3,
    "num_sparse_encoder_layers": 1,
    "num_decoder_layers": 2,
    "num_sparse_decoder_layers": 1,
    "expert_capacity": 1000,
}
CASES = {
    "t5_1_0": Case("T5", {}, own_logits=False),
    "t5_1_1": Case("T5", GATED | {"tie_word_embeddings": False}, own_logits=True),
    "mt5": Case("MT5", GATED, own_logits=True),
    "mt5_shared": Case("MT5", GATED, own_logits=False),
    "switch": Case("SwitchTransformers", SPARSE, own_logits=False),
    "switch_untied": Case(
        "SwitchTransformers", SPARSE | {"tie_word_embeddings": False}, own_logits=True
    ),
}


def outputs(
    model: Any, inputs_BL: np.ndarray, targets_BT: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the logits [B, T, vocab] and the encoder's output [B, L, d_model]."""
    decoder_BT = np.pad(targets_BT, [(0, 0), (1, 0)])[:, :-1]
    with torch.no_grad():
        output = model(
            input_ids=torch.tensor(inputs_BL, dtype=torch.long),
            attention_mask=torch.tensor(inputs_BL != 0, dtype=torch.long),
            decoder_input_ids=torch.tensor(decoder_BT, dtype=torch.long),
        )
    return {
        "logits": output.logits.numpy(),
        "encoded": output.encoder_last_hidden_state.numpy(),
    }


def greedy(model: Any, inputs_BL: np.ndarray, max_new_tokens: int) -> np.ndarray:
    """Returns what `generate` makes of the inputs, the decoder's first 0 in front."""
    ids = torch.tensor(inputs_BL, dtype=torch.long)
    mask = (ids != 0).long()
    output = model.generate(
        ids, attention_mask=mask, max_new_tokens=max_new_tokens, do_sample=False
    )
    return output.numpy()
