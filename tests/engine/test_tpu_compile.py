"""The TPU's compiler on a small Switch Transformer; needs libtpu, and no TPU."""

import json

import pytest
from tpu_programs import SLICES, compiled_text_and_figures, golden_path

from mtmoe.engine.devices import topology_mesh
from mtmoe.engine.hardware.plugins import libtpu_path
from mtmoe.engine.hardware.topologies import named_topology
from mtmoe.errors import HardwareError
from mtmoe.mesh.layout import Layout


@pytest.fixture(scope="module", autouse=True)
def libtpu():
    try:
        return libtpu_path()
    except HardwareError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("name", SLICES)
def test_step_compiles_with_the_figures_it_had(name):
    """`make goldens` writes them anew, after a change that is meant."""
    text, figures = compiled_text_and_figures(name)
    golden = json.loads(golden_path(name).read_text())
    assert figures.argument_bytes == golden["argument_bytes"]
    assert figures.flops == pytest.approx(golden["flops"], rel=0.02)
    assert figures.temporary_bytes == pytest.approx(golden["temporary_bytes"], rel=0.1)
    assert figures.output_bytes == pytest.approx(golden["output_bytes"], abs=1e5)
    assert figures.total_bytes < named_topology(name).generation.usable_bytes

    def sent(collectives):
        return sorted(tuple(collective[:4]) for collective in collectives)

    found = [
        (c.kind, c.dtype, c.num_bytes, c.group, c.asynchronous)
        for c in figures.collectives
    ]
    assert sent(found) == sent(golden["collectives"])
    tokens = [c for c in figures.collectives if c.kind == "all-to-all"]
    assert len(tokens) == 8, "two layers of experts, there and back, and the gradients"
    assert {c.dtype for c in tokens} == {"bf16"}, "selective precision sends bfloat16"
    if name.startswith(("v5e", "v5p", "tpu7x")):
        assert all(c.asynchronous for c in tokens)
    # Routers are multiplied in whole float32, which a TPU does not do by itself.
    assert "operand_precision={highest,highest}" in text


@pytest.mark.slow
def test_usable_memory_is_the_compilers():
    """A program that cannot fit is refused with the memory that the table has."""
    import jax
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    for name in ("v5e:2x2", "v4:2x2x1", "v5p:2x2x1", "v6e:2x2", "tpu7x:2x2x1"):
        topology = named_topology(name)
        mesh = Mesh(np.array(topology.devices()[:1]), ("x",))
        place = NamedSharding(mesh, PartitionSpec())
        usable = topology.generation.usable_bytes
        wide = jax.ShapeDtypeStruct(
            (usable // 2**18, 2**16), np.float32, sharding=place
        )
        with pytest.raises(jax.errors.JaxRuntimeError, match="exceed") as refused:
            jax.jit(lambda x: x @ x.T).lower(wide).compile()
        assert f"{usable / 2**30:.2f}G" in str(refused.value)


@pytest.mark.parametrize("mesh_shape", ["data:4;model:4", "data:2;model:8", "data:16"])
def test_neighbours_of_a_mesh_are_neighbours_of_the_slice(mesh_shape):
    mesh = topology_mesh(named_topology("v5e:4x4"), Layout(mesh_shape=mesh_shape))
    assert len(set(mesh.devices.flat)) == 16
    if mesh_shape == "data:4;model:4":
        for row in mesh.devices:
            assert len({device.coords[0] for device in row}) == 1 or (
                len({device.coords[1] for device in row}) == 1
            )
