"""Memory and time of `mtmoe evaluate` on cached mixtures of any size.

    python benchmarks/evaluate_memory.py --gigabytes=0.1 --gigabytes=10

Makes a token cache of five tasks of generated text, `--gigabytes` of tokens in their
splits `train` and `validation` together, and an untrained model of a few thousand
parameters; evaluates it in a process of its own, twice, since baselines are counted at
the first time only; prints the peak of that process's memory and the seconds it took.
The shards of a task are one file under many names, so that a cache of 10 GB takes 20 MB
of disk; all of them are files of their own for what reads them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHARD_TOKENS = 1 << 22
TOKEN_BYTES = 2
TASKS = 5
CONFIG = """
configured_vocabulary.factory = @byte_vocabulary
register.task_modules = ["generated_text"]
token_cache.directories = ["{cache}"]
train.mixture = "generated"
train.model = @EncoderDecoder()
train.optimizer = @Adafactor()
train.schedule = @inverse_square_root
train.batch_size = 256
train.lengths = {{"inputs": 128, "targets": 36}}
train.steps = 20
EncoderDecoder.vocab_size = 384
EncoderDecoder.d_model = 16
EncoderDecoder.d_ff = 32
EncoderDecoder.num_heads = 2
EncoderDecoder.d_kv = 8
EncoderDecoder.num_encoder_layers = 1
EncoderDecoder.num_decoder_layers = 1
EncoderDecoder.expert_layer_every = 0
"""
MODULE = '''
import random
import seqio
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.tasks.registration import register_text_task
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.card import TaskCard

SHARD_TOKENS, SHARDS = {shard_tokens}, {shards}


class GeneratedText(TextSource):
    """Words of letters, as many as fill a shard; every shard is the same."""

    def num_parts(self, split):
        return SHARDS

    def part(self, split, number):
        letters = random.Random(self.language)
        words = ["".join(letters.choices("abcdefgh", k=5)) for _ in range(400)]
        for _ in range(SHARD_TOKENS // 6000):
            yield " ".join(letters.choices(words, k=1000))


def add(language):
    source = GeneratedText(lambda split: [], language=language)
    source.fingerprint = lambda: f"{{SHARDS}} of {{SHARD_TOKENS}}"
    card = TaskCard(family="pretraining", language=language, labels="self")
    return register_text_task(f"generated.{{language}}", source, SpanCorruption(), card)


LANGUAGES = ("de", "sw", "yo", "tr", "vi")
seqio.MixtureRegistry.add("generated", [(add(language), 1) for language in LANGUAGES])
'''


def make_cache(folder: Path, shards: int) -> int:
    """Caches the mixture, each split a shard that is linked; returns its tokens."""
    from mtmoe.data.tasks.registry import tasks_of
    from mtmoe.data.token_cache.writer import finish_split, run_job, shard_jobs

    tokens = 0
    for task in tasks_of("generated"):
        for split in task.splits:
            jobs = shard_jobs(task, split, str(folder))
            assert len(jobs) == shards
            run_job(jobs[0])
            directory = Path(jobs[0].directory)
            first = f"-00000-of-{shards:05d}"
            for job in jobs[1:]:
                number = f"-{job.shard:05d}-of-{shards:05d}"
                for path in list(directory.glob(f"*{first}.*")):
                    place = directory / path.name.replace(first, number)
                    if path.suffix == ".json":
                        facts = json.loads(path.read_text())
                        text = json.dumps(facts).replace(first, number)
                        place.write_text(text)
                    else:
                        os.link(path, place)
            tokens += finish_split(jobs).num_tokens
    return tokens


def make_model(folder: Path) -> None:
    """Writes a model folder with random weights; its config is in force."""
    import tensorflow as tf

    from mtmoe.checkpoint import store
    from mtmoe.data.vocabulary.configured import (
        configured_vocabulary,
        vocabulary_fingerprint,
    )
    from mtmoe.engine.program import MeshProgram
    from mtmoe.evaluate.step import evaluation_step_builder
    from mtmoe.train.settings import configured_run

    run = configured_run()
    program = MeshProgram(run.layout, run.seed)
    program.function(
        evaluation_step_builder(run.model),
        {name: tf.TensorSpec([2, n], tf.int32) for name, n in run.lengths.items()},
        name="initial",
    )
    store.save(folder / "checkpoints", 20, program.variables(), {})
    vocabulary = vocabulary_fingerprint(configured_vocabulary())
    (folder / "provenance.json").write_text(json.dumps({"vocabulary": vocabulary}))


def prepare(folder: Path, gigabytes: float) -> None:
    """Makes cache and model below a folder; prints how many tokens there are."""
    shards = max(1, round(gigabytes * 1e9 / TOKEN_BYTES / SHARD_TOKENS / TASKS / 2))
    module = MODULE.format(shard_tokens=SHARD_TOKENS, shards=shards)
    (folder / "generated_text.py").write_text(module)
    model = folder / "model"
    model.mkdir()
    (model / "config.gin").write_text(CONFIG.format(cache=folder / "tokens"))
    sys.path.append(str(folder))
    from mtmoe.config.load import load_config

    load_config(model_dir=model, roots=["train"])
    importlib.import_module("generated_text")
    tokens = make_cache(folder / "tokens", shards)
    make_model(model)
    print(f"{tokens:,} tokens, {tokens * TOKEN_BYTES / 1e9:.2f} GB")


def evaluate(folder: Path) -> None:
    """Evaluates the model below a folder; prints this process's peak memory."""
    from mtmoe.evaluate.run import EvaluationRequest
    from mtmoe.evaluate.run import evaluate as run

    started = time.perf_counter()
    run(EvaluationRequest(folder / "model"))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak memory {peak / 1e9:.2f} GB, {seconds:.0f} s")


def main() -> None:
    """Runs every size, each in processes of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, action="append")
    parser.add_argument(
        "--role", choices=["main", "prepare", "evaluate"], default="main"
    )
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.role == "prepare":
        prepare(args.folder, args.gigabytes[0])
    elif args.role == "evaluate":
        evaluate(args.folder)
    else:
        import mtmoe

        print(f"mtmoe {mtmoe.__version__}, python {sys.version.split()[0]}, ", end="")
        print(f"cores {os.cpu_count()}")
        for gigabytes in args.gigabytes or [0.1, 10.0]:
            with tempfile.TemporaryDirectory() as name:
                command = [sys.executable, __file__, f"--folder={name}"]
                command.append(f"--gigabytes={gigabytes}")
                environment = os.environ | {"MTMOE_CACHE": f"{name}/cache"}
                for role in ("prepare", "evaluate", "evaluate"):
                    subprocess.run(
                        [*command, f"--role={role}"],
                        check=True,
                        cwd=name,
                        env=environment,
                        stderr=subprocess.DEVNULL,
                    )


if __name__ == "__main__":
    main()
