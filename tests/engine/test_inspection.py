"""Figures read off compiled programs."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mtmoe.engine.inspection import Collective, collectives_of, inspect_compiled

# Lines as XLA writes them for a TPU, shortened.
HLO = """
  %a = bf16[8,128,256]{2,1,0:T(8,128)} all-reduce(%x), channel_id=1, \
replica_groups={{0,1},{2,3}}, use_global_device_ids=true, to_apply=%add
  %b = ((bf16[4,8,40,256]{3,2,1,0}), bf16[4,8,40,256]{3,2,1,0}, u32[], u32[]) \
all-to-all-start(%a), channel_id=2, replica_groups={{0,2},{1,3}}, dimensions={0}
  %c = bf16[4,8,40,256]{3,2,1,0} all-to-all-done(%b)
  %d = (f32[2], s32[3]) all-reduce(%e, %f), replica_groups=[2,4]<=[8], to_apply=%add
  %g = (f32[4], f32[16]) all-gather-start(%h), replica_groups={{0,1,2,3}}
  %i = f32[4] collective-permute(%j), source_target_pairs={{0,1}}
  ROOT %k = f32[4] fusion(%i), calls=%all-reduce.computation
"""


def test_collectives_of_a_text():
    assert list(collectives_of(HLO)) == [
        Collective("all-reduce", "bf16", 2 * 8 * 128 * 256, 2, False),
        Collective("all-to-all", "bf16", 2 * 4 * 8 * 40 * 256, 2, True),
        Collective("all-reduce", "f32+s32", 20, 4, False),
        Collective("all-gather", "f32", 64, 4, True),
        Collective("collective-permute", "f32", 16, 0, False),
    ]


def test_a_compiled_program():
    mesh = Mesh(np.array(jax.devices("cpu")[:2]), ("x",))
    split = PartitionSpec("x")
    argument = jax.ShapeDtypeStruct(
        (8, 16), np.float32, sharding=NamedSharding(mesh, split)
    )

    def total(x):
        return jax.lax.psum(x @ x.T, "x")

    jitted = jax.jit(
        jax.shard_map(total, mesh=mesh, in_specs=split, out_specs=PartitionSpec())
    )
    figures = inspect_compiled(jitted.lower(argument).compile())
    assert figures.argument_bytes == 4 * 16 * 4
    assert figures.output_bytes == 4 * 4 * 4
    assert figures.flops >= 2 * 4 * 4 * 16
    assert figures.counts() == {"all-reduce": 1}
    assert figures.collectives[0].num_bytes == 4 * 4 * 4
    assert figures.total_bytes >= 4 * 16 * 4 + 4 * 4 * 4
