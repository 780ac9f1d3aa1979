"""The layer of experts beside Mesh TensorFlow's."""

import numpy as np
from oracles.model_runner import run, tiny_moe
from oracles.moe_layer import (
    NO_NOISE,
    build_layer,
    data,
    run_mesh_tensorflow,
    weights,
)

from mtmoe.model.moe.routers.switch import SwitchRouter


class TestMeshTensorFlow:
    """Agreement with `mesh_tensorflow.transformer.moe`, and where there is none."""

    def theirs(self, arrays, values, capacity_factor, training=False, **hparams):
        return run_mesh_tensorflow(
            arrays,
            values,
            training=training,
            capacity_factor_train=capacity_factor,
            capacity_factor_eval=capacity_factor,
            switch_jitter=0.0,
            **hparams,
        )

    def test_outputs_agree_where_no_capacity_is_rounded(self):
        arrays, values = data(), weights()
        ours = run(
            build_layer(tiny_moe(router=NO_NOISE, evaluation_factor=0.75, minimum=1)),
            arrays,
            values,
        ).outputs
        theirs = self.theirs(arrays, values, 0.75)  # 32 * 0.75 / 4 = 6 slots, exactly
        np.testing.assert_allclose(ours["y"], theirs["y"], rtol=1e-5, atol=1e-5)
        assert ours["dropped_counts"].sum() > 0

    def test_balance_loss_agrees_without_padding(self):
        arrays, values = data(padding=False), weights()
        ours = run(build_layer(tiny_moe(router=NO_NOISE)), arrays, values).outputs
        theirs = self.theirs(arrays, values, 2.0)
        mean = ours["balance_loss"] / ours["tokens"]
        np.testing.assert_allclose(mean, theirs["loss"], rtol=1e-5)

    def test_theirs_counts_padding_as_routed_tokens(self):
        arrays, values = data(), weights()
        arrays["x"] *= arrays["mask"][..., None]
        ours = run(build_layer(tiny_moe(router=NO_NOISE)), arrays, values).outputs
        theirs = self.theirs(arrays, values, 2.0)
        garbage = arrays | {
            "x": np.where(arrays["mask"][..., None] > 0, arrays["x"], 1)
        }
        changed = self.theirs(
            garbage | {"x": garbage["x"].astype(np.float32)}, values, 2.0
        )
        mean = ours["balance_loss"] / ours["tokens"]
        assert abs(theirs["loss"] - mean) > 1e-3 * mean
        assert theirs["loss"] != changed["loss"]

    def test_theirs_multiplies_the_z_loss_by_alpha(self):
        arrays, values = data(padding=False), weights()
        router = SwitchRouter(jitter_epsilon=0.0, z_loss_weight=0.5)
        ours = run(build_layer(tiny_moe(router=router)), arrays, values).outputs
        plain = self.theirs(arrays, values, 2.0, training=True)
        with_z = self.theirs(arrays, values, 2.0, training=True, z_loss=0.5)
        np.testing.assert_allclose(
            with_z["loss"] - plain["loss"],
            0.01 * ours["z_loss"] / ours["tokens"],
            rtol=1e-4,
        )
