from __future__ import annotations

import concurrent.futures
import json
import pickle

import gin
import pytest

from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.errors import ConfigError, DamagedDataError, DamagedRecordError


def _error(
    offset: int, path: str = "/root/some/train-0123/tokens-0"
) -> DamagedRecordError:
    return DamagedRecordError(path, offset, "its checksum does not match")


def test_each_record_counts_once():
    bad_records = BadRecords()
    for offset in (10, 20, 10, 20, 30):
        bad_records.note("one", _error(offset))
    bad_records.note("two", _error(10))
    assert bad_records.counts == {"one": 3, "two": 1}


def test_examples_left_out_when_caching_are_counted_beside_the_quota():
    bad_records = BadRecords(quota=1)
    bad_records.note_left_out("one", 7)
    bad_records.note_left_out("two", 0)
    bad_records.note("one", _error(10))
    assert bad_records.counts == {"one": 8}
    restored = BadRecords(quota=1)
    restored.note_left_out("one", 7)
    restored.restore(bad_records.state())
    assert restored.counts == {"one": 8}


def test_the_quota_is_of_each_task():
    bad_records = BadRecords(quota=2)
    for task in ("one", "two"):
        bad_records.note(task, _error(1))
        bad_records.note(task, _error(2))
    with pytest.raises(DamagedDataError) as caught:
        bad_records.note("two", _error(77))
    for part in (
        "task 'two' has 3 damaged records",
        "bad_records.quota allows 2",
        "/root/some/train-0123/tokens-0 at byte 77: its checksum does not match",
    ):
        assert part in str(caught.value)
    bad_records.note("one", _error(1))


def test_gin_gives_the_quota():
    gin.parse_config("bad_records.quota = 0")
    with pytest.raises(DamagedDataError):
        BadRecords().note("one", _error(1))
    with pytest.raises(ConfigError, match="bad_records.quota is -1"):
        BadRecords(-1)


def test_a_checkpoint_keeps_which_records_they_were():
    before = BadRecords()
    before.note("one", _error(10))
    state = json.loads(json.dumps(before.state()))
    after = BadRecords()
    after.note("forgotten", _error(5))
    after.restore(state)
    assert after.counts == {"one": 1}
    # The same record of a cache that has moved since.
    after.note("one", _error(10, "/elsewhere/some/train-0123/tokens-0"))
    assert after.counts == {"one": 1}
    after.note("one", _error(10, "/elsewhere/some/train-4567/tokens-0"))
    assert after.counts == {"one": 2}


def test_threads_count_together():
    bad_records = BadRecords(quota=1000)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: bad_records.note("one", _error(i % 500)), range(1000)))
    assert bad_records.counts == {"one": 500}


def test_the_error_crosses_processes():
    error = pickle.loads(pickle.dumps(_error(12)))
    assert (error.path, error.offset) == ("/root/some/train-0123/tokens-0", 12)
    assert str(error) == str(_error(12))
