"""Seconds to build the graph of a training step of 12+12 layers with 128 experts.

Ours and `mesh_tensorflow.transformer`, each in a process of its own. The time does not
depend on the widths, which are small here so that the variables fit any machine.

    python benchmarks/graph_build.py
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

from absl import app, flags

_CHILD = flags.DEFINE_string("child", "", "SYSTEM; used by this script.")
_LAYERS = flags.DEFINE_integer("layers", 12, "Layers of the encoder, of the decoder.")
_EXPERTS = flags.DEFINE_integer("experts", 128, "Experts of a sparse layer.")

_AIM_SECONDS = 20.0


def child(system: str) -> None:
    """Builds one system's step and says how long it took."""
    from training_systems import SYSTEMS, Setting

    setting = Setting(
        d_model=128,
        d_ff=256,
        num_heads=2,
        num_layers=_LAYERS.value,
        num_experts=_EXPERTS.value,
    )
    built = SYSTEMS[system](setting)
    print(json.dumps({"seconds": built.build_seconds, "versions": built.versions}))


def main(argv: list[str]) -> None:
    """Builds both, one after the other."""
    del argv
    if _CHILD.value:
        child(_CHILD.value)
        return
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; {_LAYERS.value}+{_LAYERS.value} layers, "
        f"{_EXPERTS.value} experts"
    )
    seconds = {}
    for system in ("ours", "mesh"):
        done = subprocess.run(
            [
                sys.executable,
                __file__,
                f"--child={system}",
                f"--layers={_LAYERS.value}",
                f"--experts={_EXPERTS.value}",
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        result = json.loads(done.stdout.splitlines()[-1])
        seconds[system] = result["seconds"]
        print(f"{system:5} {result['seconds']:6.1f} s   [{result['versions']}]")
    verdict = "met" if seconds["ours"] <= _AIM_SECONDS else "MISSED"
    ratio = seconds["mesh"] / seconds["ours"]
    print(
        f"ours builds {ratio:.1f} x as fast; wanted at most {_AIM_SECONDS:.0f} s: "
        f"{verdict}"
    )


if __name__ == "__main__":
    app.run(main)
