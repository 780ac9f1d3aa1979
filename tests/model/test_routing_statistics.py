import numpy as np
from oracles.mesh_runner import run_mesh

from mtmoe.mesh.compat import mtf
from mtmoe.model.routing import TokenRouting, layer_routing, summarize_routing

B, L, E, LAYERS = 4, 6, 3, 2


def routing_arrays():
    """Two layers' tokens."""
    generator = np.random.default_rng(0)
    arrays = {"mask": (generator.random([B, L]) < 0.8).astype(np.float32)}
    for layer in range(LAYERS):
        first = np.eye(E)[generator.integers(0, E, [B, L])]
        per_token = {
            "first_choice": first * arrays["mask"][..., None],
            "dropped": generator.integers(0, 2, [B, L]) / 2 * arrays["mask"],
            "entropy": generator.random([B, L]) * arrays["mask"],
            "log_z": generator.standard_normal([B, L]) * arrays["mask"],
        }
        for name, array in per_token.items():
            arrays[f"{layer} {name}"] = array.astype(np.float32)
        for name in ("balance", "z"):
            arrays[f"{layer} {name}"] = generator.random([B]).astype(np.float32)
    return arrays


def summary(arrays, whole_tokens=None):
    def build(context, features):
        batch = features["mask"].shape[0]
        shape = mtf.Shape([mtf.Dimension("batch", batch), mtf.Dimension("length", L)])
        nonpadding = context.import_tensor(features["mask"], shape)
        experts = mtf.Dimension("experts_unsplit", E)
        layers = []
        for layer in range(LAYERS):
            tensors = {
                name: context.import_tensor(
                    features[f"{layer} {name}"],
                    shape + experts if name == "first_choice" else shape,
                )
                for name in ("first_choice", "dropped", "entropy", "log_z")
            }
            balance, z = (
                mtf.reduce_sum(
                    context.import_tensor(features[f"{layer} {name}"], shape.dims[:1])
                )
                for name in ("balance", "z")
            )
            layers.append(
                layer_routing(
                    f"encoder.{layer}.moe",
                    (balance, z),
                    TokenRouting(**tensors),
                    nonpadding,
                    None,
                )
            )
        tokens = None
        if whole_tokens is not None:
            tokens = [
                mtf.constant(context.mesh, float(whole_tokens), mtf.Shape([]))
            ] * LAYERS
        return vars(summarize_routing(layers, tokens))

    return run_mesh(build, arrays)


def test_summary_is_a_mean_over_tokens_and_its_parts_add_up():
    arrays = routing_arrays()
    tokens = arrays["mask"].sum()
    whole = summary(arrays)

    def of_layers(function):
        return np.array([function(layer) for layer in range(LAYERS)])

    expected = {
        "balance_loss": of_layers(lambda n: arrays[f"{n} balance"].sum()).sum(),
        "z_loss": of_layers(lambda n: arrays[f"{n} z"].sum()).sum(),
        "dropped_fraction": of_layers(lambda n: arrays[f"{n} dropped"].sum()).mean(),
        "router_entropy": of_layers(lambda n: arrays[f"{n} entropy"].sum()).mean(),
        "router_log_z_square": of_layers(
            lambda n: np.square(arrays[f"{n} log_z"]).sum()
        ).mean(),
        "expert_load_max_over_mean": of_layers(
            lambda n: E * arrays[f"{n} first_choice"].sum((0, 1)).max()
        ).mean(),
    }
    assert whole.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(whole[name], value / tokens, rtol=1e-5, err_msg=name)
    halves = [
        summary({name: x[rows] for name, x in arrays.items()}, whole_tokens=tokens)
        for rows in (slice(0, B // 2), slice(B // 2, B))
    ]
    for name in expected.keys() - {"expert_load_max_over_mean"}:
        total = halves[0][name] + halves[1][name]
        np.testing.assert_allclose(total, whole[name], rtol=1e-5, err_msg=name)


def test_a_batch_of_padding_alone_is_finite():
    arrays = {name: np.zeros_like(array) for name, array in routing_arrays().items()}
    assert all(value == 0.0 for value in summary(arrays).values())
