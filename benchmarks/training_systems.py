"""One Switch Transformer, built to train by three systems: ours and two others.

The same sizes, Adafactor with factored moments, float32, capacity factor 1.25, no
dropout, jitter 0.01, one full step (forward, backward, update) a call:

* ours: one XLA program, for one device or, batch and experts split, for two;
* transformers: SwitchTransformersForConditionalGeneration on PyTorch, eager, which from
  version 5 on enforces no capacity: every token is computed, none is dropped;
* mesh: `mesh_tensorflow.transformer` with MoE1D, its own optimizer and lowering,
  compiled by XLA as one function; of ours it has what makes it import.

A system is imported where it is built, so that a process holds one of them alone.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]

# So small that routers stay as they are initialised, as even as training keeps them. On
# random tokens larger steps let the peer's send everything to one or two experts of 128
# in a few steps: it then computes no gradients of the others, and updates nothing.
LEARNING_RATE = 1e-6


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes of a model and of its batch.

    Attributes:
      d_model: width.
      d_ff: hidden width of a feed-forward network and of an expert.
      num_heads: heads of 64.
      num_layers: layers of the encoder, and of the decoder; every other one is sparse.
      num_experts: experts of a sparse layer.
      batch_size: examples.
      vocab_size: rows of the embedding.
      input_length: tokens of the inputs, none of them padding.
      target_length: tokens of the targets.
    """

    d_model: int = 256
    d_ff: int = 1024
    num_heads: int = 4
    num_layers: int = 4
    num_experts: int = 16
    batch_size: int = 16
    vocab_size: int = 8192
    input_length: int = 256
    target_length: int = 64

    @property
    def tokens(self) -> int:
        """Tokens of a batch, inputs and targets together."""
        return self.batch_size * (self.input_length + self.target_length)

    def batch(self, seed: int) -> tuple[Int32Array, Int32Array]:
        """Returns random inputs [batch, length] and targets."""
        generator = np.random.default_rng(seed)
        draw = generator.integers
        inputs = draw(2, self.vocab_size, [self.batch_size, self.input_length])
        targets = draw(2, self.vocab_size, [self.batch_size, self.target_length])
        return inputs.astype(np.int32), targets.astype(np.int32)


SETTINGS = {
    "S": Setting(),
    "S-128": Setting(num_experts=128),
    "base-width": Setting(
        d_model=768, d_ff=3072, num_heads=12, num_layers=2, num_experts=8, batch_size=8
    ),
}


class System(Protocol):
    """One system, ready to train.

    Attributes:
      versions: of the packages it is made of.
      build_seconds: time to build the model, or the graph of its step and, of ours, to
        lower it; compilation and imports excluded.
    """

    versions: str
    build_seconds: float

    def step(self, inputs: Int32Array, targets: Int32Array) -> float:
        """Makes one training step and returns its loss in nats per target token."""
        ...


class Ours:
    """The model of this repository."""

    def __init__(self, setting: Setting, layout: tuple[str, str] = ("", "")):
        """Builds and compiles the step; with MTMOE_CACHE set, what is kept is used.

        Args:
          setting: the sizes.
          layout: the mesh's shape and the layout rules; one device by default.
        """
        from mtmoe.startup.importing import import_tensorflow
        from mtmoe.startup.memory import keep_freed_memory

        # As the commands do: this before TensorFlow starts threads.
        keep_freed_memory()
        import_tensorflow()
        import jaxlib
        import tensorflow as tf

        from mtmoe.engine.kept.cache import keep_compiled
        from mtmoe.engine.program import MeshProgram
        from mtmoe.mesh.layout import Layout
        from mtmoe.model.encoder_decoder import EncoderDecoder
        from mtmoe.model.moe.mixture import MixtureOfExperts
        from mtmoe.train.optimizers.adafactor import Adafactor
        from mtmoe.train.step import step_features, train_step_builder

        if folder := os.environ.get("MTMOE_CACHE"):
            keep_compiled(Path(folder))
        self.versions = f"tensorflow {tf.__version__}, jaxlib {jaxlib.__version__}"
        model = EncoderDecoder(
            vocab_size=setting.vocab_size,
            d_model=setting.d_model,
            d_ff=setting.d_ff,
            num_heads=setting.num_heads,
            d_kv=64,
            num_encoder_layers=setting.num_layers,
            num_decoder_layers=setting.num_layers,
            moe=MixtureOfExperts(
                num_experts=setting.num_experts,
                group_size=setting.batch_size * setting.input_length,
            ),
        )
        lengths = {"inputs": setting.input_length, "targets": setting.target_length}
        self.program = MeshProgram(Layout(*layout))
        self._function = self.program.function(
            train_step_builder(
                model, Adafactor(), lambda _: tf.constant(LEARNING_RATE), 0
            ),
            step_features(lengths, setting.batch_size),
            "train_step",
            training=True,
        )
        self.build_seconds = self._function.program.seconds
        started = time.monotonic()
        self._function.executable  # noqa: B018  (compiled when asked for)
        self.compile_seconds = time.monotonic() - started
        self._steps = 0

    def step(self, inputs: Int32Array, targets: Int32Array) -> float:
        """Makes one training step."""
        features = {}
        for name, ids in (("inputs", inputs), ("targets", targets)):
            features[name] = ids
            features[f"{name}_segments"] = np.ones_like(ids)
            features[f"{name}_language"] = np.full_like(ids, -1)
        outputs = self._function(self._steps, **features)
        self._steps += 1
        return float(outputs["loss"])


class Transformers:
    """Switch Transformers of the `transformers` package."""

    def __init__(
        self, setting: Setting, device: str = "cpu", precision: str = "float32"
    ):
        """Builds the model and its optimizer.

        Args:
          setting: the sizes.
          device: where it runs, as PyTorch calls it.
          precision: bfloat16 has PyTorch's autocast choose what is computed in it;
            variables are float32 all the same.
        """
        import torch
        import transformers
        from transformers.optimization import Adafactor

        self.versions = (
            f"transformers {transformers.__version__}, torch {torch.__version__}, "
            f"{torch.get_num_threads()} threads"
        )
        tokens_per_expert = setting.batch_size * setting.input_length
        tokens_per_expert //= setting.num_experts
        config = transformers.SwitchTransformersConfig(
            vocab_size=setting.vocab_size,
            d_model=setting.d_model,
            d_kv=64,
            d_ff=setting.d_ff,
            expert_capacity=int(tokens_per_expert * 1.25),
            num_layers=setting.num_layers,
            num_decoder_layers=setting.num_layers,
            num_sparse_encoder_layers=setting.num_layers // 2,
            num_sparse_decoder_layers=setting.num_layers // 2,
            num_heads=setting.num_heads,
            num_experts=setting.num_experts,
            dropout_rate=0.0,
            use_cache=False,
            output_router_logits=True,  # or else without the balance and z losses
            decoder_start_token_id=0,
        )
        self._torch, self._device = torch, device
        self._autocast = functools.partial(
            torch.autocast,
            device,
            dtype=torch.bfloat16,
            enabled=precision == "bfloat16",
        )
        started = time.monotonic()
        model = transformers.SwitchTransformersForConditionalGeneration(config)
        self._model = model.to(device)
        self._model.train()
        self.parameters = sum(p.numel() for p in self._model.parameters())
        self.build_seconds = time.monotonic() - started
        self._optimizer = Adafactor(
            self._model.parameters(),
            lr=LEARNING_RATE,
            relative_step=False,
            scale_parameter=True,
        )

    def step(self, inputs: Int32Array, targets: Int32Array) -> float:
        """Makes one training step."""
        with self._autocast():
            output = self._model(input_ids=self._ids(inputs), labels=self._ids(targets))
        output.loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(output.loss.detach())

    def _ids(self, ids: Int32Array) -> Any:
        return self._torch.from_numpy(ids).to(self._device).long()


class Mesh:
    """`mesh_tensorflow.transformer`."""

    def __init__(self, setting: Setting):
        """Builds the step; it is compiled when first called.

        Args:
          setting: the sizes.
        """
        import importlib.metadata

        import tensorflow as tf

        from mtmoe.mesh.compat import mtf, placement_mesh_impl

        version = importlib.metadata.version("mesh-tensorflow")
        self.versions = f"mesh-tensorflow {version}, tensorflow {tf.__version__}"
        build = _mesh_step(setting)

        def trace(inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
            graph = mtf.Graph()
            mesh = mtf.Mesh(graph, "mesh")
            loss, updates = build(mesh, {"inputs": inputs, "targets": targets})
            placement = placement_mesh_impl.PlacementMeshImpl([], [], ["/cpu:0"])
            lowering = mtf.Lowering(graph, {mesh: placement}, autostack=False)
            assigned = [lowering.lowered_operation(update) for update in updates]
            with tf.control_dependencies(assigned):
                return tf.identity(lowering.export_to_tf_tensor(loss))

        started = time.monotonic()
        lengths = setting.input_length, setting.target_length
        step = tf.compat.v1.wrap_function(
            trace, [tf.TensorSpec([setting.batch_size, n], tf.int32) for n in lengths]
        )
        self._step = tf.function(step, autograph=False)
        self.build_seconds = time.monotonic() - started

    def step(self, inputs: Int32Array, targets: Int32Array) -> float:
        """Makes one training step."""
        import tensorflow as tf

        return float(self._step(tf.constant(inputs), tf.constant(targets)))


def _mesh_step(setting: Setting) -> Callable[..., object]:
    """Returns the build function of `mesh_tensorflow.transformer`'s training step."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
    from oracles.mtf_transformer import moe, transformer, transformer_layers

    from mtmoe.mesh.compat import mtf

    layer_names = transformer_layers
    attention = {
        "num_heads": setting.num_heads,
        "key_value_size": 64,
        "relative_attention_type": "bias_shared",
    }
    experts = {
        "num_experts": setting.num_experts,
        "hidden_size": setting.d_ff,
        "group_size": setting.batch_size * setting.input_length,
        "moe_gating": "switch",
    }

    def stack(decoder: bool) -> object:
        cross = [[layer_names.EncDecAttention, attention | _NO_BIAS]] if decoder else []
        block = [
            [layer_names.SelfAttention, attention],
            *cross,
            [layer_names.DenseReluDense, {"hidden_size": setting.d_ff}],
            [layer_names.SelfAttention, attention],
            *cross,
            [moe.MoE1D, experts],
        ]
        rms_norm = transformer.sublayer_rms_norm
        return transformer.make_layer_stack(
            layers=block,
            num_layers=setting.num_layers // 2,
            layer_stack_cls=lambda layers: transformer.LayerStack(
                layers,
                sublayers_initial=[],
                sublayers_per_layer=[
                    rms_norm,
                    transformer.sublayer_call_layer,
                    transformer.sublayer_residual,
                ],
                sublayers_final=[rms_norm],
            ),
        )

    def unitransformer(decoder: bool) -> object:
        return transformer.Unitransformer(
            stack(decoder),
            d_model=setting.d_model,
            input_vocab_size=setting.vocab_size,
            output_vocab_size=setting.vocab_size if decoder else None,
            autoregressive=decoder,
            max_length=512,
            shared_embedding_and_softmax_weights=decoder,
            positional_embedding=False,
            name="decoder" if decoder else "encoder",
            layout="",
            mesh_shape="",
        )

    def build(mesh: object, features: dict[str, object]) -> object:
        model = transformer.Bitransformer(unitransformer(False), unitransformer(True))
        batch = mtf.Dimension("batch", setting.batch_size)
        tensors = {}
        for name, ids in features.items():
            dims = mtf.Shape([batch, mtf.Dimension("length", ids.shape[1])])
            tensors[name] = mtf.import_tf_tensor(mesh, ids, dims)
        ones = {n: mtf.ones_like(x) for n, x in tensors.items()}
        _, loss = model.call_simple(
            tensors["inputs"],
            tensors["targets"],
            compute_loss=True,
            encoder_sequence_id=ones["inputs"],
            decoder_sequence_id=ones["targets"],
        )
        variables = mesh.graph.trainable_variables
        gradients = mtf.gradients([loss], [v.outputs[0] for v in variables])
        optimizer = mtf.optimize.AdafactorOptimizer(learning_rate=LEARNING_RATE)
        return loss, optimizer.apply_grads(gradients, variables)

    return build


_NO_BIAS = {"relative_attention_type": None}

SYSTEMS: dict[str, Callable[[Setting], System]] = {
    "ours": Ours,
    "two-devices": functools.partial(
        Ours, layout=("data:2", "batch:data;experts:data")
    ),
    "transformers": Transformers,
    "mesh": Mesh,
}
