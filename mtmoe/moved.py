"""Modules that have moved, and the error by which an import says where they are now.

The finder stands last on `sys.meta_path`: Python asks it only for what no other finder
has. Gin files, which mtmoe itself writes into model folders, are read with the names of
today instead (`mtmoe.config.statements`).
"""

from __future__ import annotations

import sys

MOVED = {
    "data.batch": "data.batches.batch",
    "data.batch_layout": "data.batches.layout",
    "data.batches.Batch": "data.batches.batch.Batch",
    "data.batches.DecoderBatch": "data.batches.batch.Batch",
    "data.batches.Packing": "data.batches.training.Packing",
    "data.batches.TrainingBatches": "data.batches.training.TrainingBatches",
    "data.built_rows": "data.batches.built_rows",
    "data.cache": "data.ground.cache",
    "data.catalogue": "data.tasks.catalogue",
    "data.cleaning": "data.sources.web",
    "data.embedded": "data.sources.embedded",
    "data.embedded_tasks": "data.tasks.embedded",
    "data.evaluation_examples": "data.evaluation.examples",
    "data.evaluation_rows": "data.evaluation.rows",
    "data.found_tasks": "data.tasks.found",
    "data.infill": "data.evaluation.infill",
    "data.keys": "data.ground.keys",
    "data.mc4_statistics": "data.sources.web.mc4_statistics",
    "data.mixture_rows": "data.batches.mixture_rows",
    "data.once": "data.ground.once",
    "data.packed_period": "data.schedule.packed_period",
    "data.packed_schedule": "data.schedule.packed",
    "data.packing": "data.schedule.packing",
    "data.preview": "data.batches.preview",
    "data.prompts": "data.evaluation.prompts",
    "data.reading": "data.tasks.reading",
    "data.recipes": "data.rows.recipes",
    "data.registration": "data.tasks.registration",
    "data.registry": "data.tasks.registry",
    "data.schedule.BLOCKS_PER_PERIOD": "data.schedule.fixed_rates.BLOCKS_PER_PERIOD",
    "data.schedule.BLOCK_SIZE": "data.schedule.fixed_rates.BLOCK_SIZE",
    "data.schedule.Schedule": "data.schedule.fixed_rates.Schedule",
    "data.schedule.permuted_index": "data.schedule.fixed_rates.permuted_index",
    "data.sentencepiece_training": "data.vocabulary.fitting",
    "data.sentencepiece_vocabulary": "data.vocabulary.sentence_pieces",
    "data.staged_schedule": "data.schedule.staged",
    "data.streams": "data.rows.streams",
    "data.target_bytes": "data.evaluation.target_bytes",
    "data.task_card": "data.tasks.card",
    "data.task_form": "data.tasks.form",
    "data.task_rows": "data.rows.cached",
    "data.task_table": "data.tasks.table",
    "data.text_bytes": "data.evaluation.text_bytes",
    "data.token_cache.beam_runner": "data.token_cache.runners.beam",
    "data.token_cache.fingerprint": "data.token_cache.fingerprints.split",
    "data.token_cache.integrity": "data.token_cache.files.integrity",
    "data.token_cache.local_runner": "data.token_cache.runners.local",
    "data.token_cache.manifest": "data.token_cache.files.manifest",
    "data.token_cache.module_code": "data.token_cache.fingerprints.module_code",
    "data.token_cache.naming": "data.token_cache.fingerprints.naming",
    "data.token_cache.pages": "data.token_cache.files.pages",
    "data.token_cache.record_file": "data.token_cache.files.record_file",
    "data.token_cache.shard_file": "data.token_cache.files.shard_file",
    "data.token_cache.shard_reader": "data.token_cache.files.shard_reader",
    "data.token_cache.storage": "data.token_cache.files.storage",
    "data.token_cache.worker_setup": "data.token_cache.runners.worker_setup",
    "data.token_counts": "data.evaluation.token_counts",
    "data.token_rows": "data.ground.token_rows",
    "data.user_code": "data.ground.user_code",
    "data.verify": "data.tasks.verify",
    "data.vocabularies": "data.vocabulary.configured",
    "checkpoint.files": "files",
    "engine.apart": "engine.compile.apart",
    "engine.cache": "engine.kept.cache",
    "engine.compiler_process": "engine.compile.compiler_process",
    "engine.cores": "engine.hardware.cores",
    "engine.fingerprint": "engine.kept.fingerprint",
    "engine.generations": "engine.hardware.generations",
    "engine.kept_executables": "engine.compile.kept_executables",
    "engine.kept_programs": "engine.compile.kept_programs",
    "engine.native_errors": "engine.processes.native_errors",
    "engine.options": "engine.compile.options",
    "engine.plugins": "engine.hardware.plugins",
    "engine.portable": "engine.export",
    "engine.process_environment": "engine.processes.environment",
    "engine.runner": "engine.compile.runner",
    "engine.sources": "engine.kept.sources",
    "engine.topologies": "engine.hardware.topologies",
    "engine.tpu_vm": "engine.processes.tpu_vm",
    "engine.turns": "engine.kept.turns",
    "evaluate.files": "files",
    "installation": "cli.installation",
    "mesh.feature_import": "mesh.features",
    "mesh.garbage": "startup.garbage",
    "mesh.importing": "startup.importing",
    "mesh.memory": "startup.memory",
    "model.moe.statistics": "model.routing",
    "model.transformer": "model.t5",
}
"""Old name -> new name, below `mtmoe`: of modules, of packages with all that they hold,
and of what was in a module where a package of that name is now."""


def new_name(name: str) -> str:
    """Returns where a module is now; the name itself if it has not moved."""
    package, _, head = name.partition(".")
    tail = ""
    while head and package == "mtmoe":
        if head in MOVED:
            return f"mtmoe.{MOVED[head]}{tail}"
        head, dot, last = head.rpartition(".")
        tail = dot + last + tail
    return name


class _Finder:
    """Finds nothing, and says of a module that has moved where it is now."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Raises ModuleNotFoundError if `fullname` has moved."""
        now = new_name(fullname)
        if now != fullname:
            # Without `name=`: Python would make "cannot import name" of an error that
            # has one, where the module is imported as `from package import module`.
            raise ModuleNotFoundError(f"{fullname} is now {now}; change the import")


def install() -> None:
    """Has every later import of a module that has moved say where it is now."""
    sys.meta_path.append(_Finder())
