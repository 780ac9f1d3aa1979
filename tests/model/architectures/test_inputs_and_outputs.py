"""Parts before and behind the stacks, against numpy."""

import numpy as np
from oracles.model_runner import run, run_randomized

from mtmoe.mesh.compat import mtf
from mtmoe.model.architectures.mixture_of_softmaxes import MixtureOfSoftmaxes
from mtmoe.model.architectures.patches import PatchEmbedding
from mtmoe.model.encoder_only import EncoderOnly
from mtmoe.model.features import Tokens, import_padded
from mtmoe.model.forward import score
from mtmoe.model.shapes import build_graph
from mtmoe.model.sizes import count_parameters, forward_flops

WIDTHS = {"vocab_size": 32, "d_model": 16, "d_ff": 32, "num_heads": 4, "d_kv": 8}
IDS = np.random.default_rng(0).integers(1, 32, [2, 5]).astype(np.int32)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_mixture_of_softmaxes_mixes_probabilities():
    model = EncoderOnly(**WIDTHS, num_layers=1, outputs=MixtureOfSoftmaxes(3))

    def build(context, features):
        tokens = import_padded(context, features["ids"])
        x = model.embedding(context, tokens)
        return {"x": x, "logits": model.logits(context, x)}

    outputs, v = run_randomized(build, {"ids": IDS})
    x = outputs["x"].astype(np.float64)
    prior = softmax(x @ v["softmax_priors"])
    hidden = np.tanh(np.einsum("blm,mkh->blkh", x, v["softmax_latents"]))
    mixed = np.einsum("blk,blkv->blv", prior, softmax(hidden @ v["logits"]))
    np.testing.assert_allclose(np.exp(outputs["logits"]), mixed, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(np.exp(outputs["logits"]).sum(-1), 1.0, rtol=1e-5)
    graph = build_graph(model, input_length=8)
    assert graph.num_parameters == count_parameters(model).total
    assert graph.flops == forward_flops(model, 8, 0).total


def test_one_softmax_of_a_mixture_has_the_probabilities_of_the_latent():
    model = EncoderOnly(**WIDTHS, num_layers=1, outputs=MixtureOfSoftmaxes(1))

    def build(context, features):
        tokens = import_padded(context, features["ids"])
        x = model.embedding(context, tokens)
        return {"x": x, "logits": model.logits(context, x)}

    outputs, v = run_randomized(build, {"ids": IDS})
    hidden = np.tanh(outputs["x"] @ v["softmax_latents"][:, 0])
    np.testing.assert_allclose(
        np.exp(outputs["logits"]), softmax(hidden @ v["logits"]), rtol=1e-4, atol=1e-7
    )


def test_patches_are_projected():
    model = EncoderOnly(
        **WIDTHS, num_layers=1, inputs=PatchEmbedding(7), tied_embeddings=False
    )
    patches = np.random.default_rng(1).standard_normal([2, 5, 7]).astype(np.float32)

    def build(context, features):
        tokens = import_padded(context, features["ids"])
        shape = tokens.ids.shape + mtf.Dimension("channels", 7)
        values = context.import_tensor(features["patches"], shape)
        tokens = Tokens(tokens.ids, tokens.nonpadding, values=values)
        return {
            "x": model.embedding(context, tokens),
            "logits": score(context, model, tokens, tokens).logits,
        }

    result = run(build, {"ids": IDS, "patches": patches})
    v = result.variables
    wanted = patches @ v["patch_embedding"] + v["patch_embedding_bias"]
    np.testing.assert_allclose(result.outputs["x"], wanted, rtol=1e-5, atol=1e-5)
    assert result.outputs["logits"].shape == (2, 5, 32)
    parameters = sum(value.size for value in v.values())
    assert parameters == count_parameters(model).total
