import dataclasses
import shutil

import numpy as np
import pytest

from mtmoe.errors import CorpusError, UnknownNameError
from mtmoe.evaluate import predictions
from mtmoe.evaluate.predictions import PredictionRequest, predict, read_lines
from mtmoe.evaluate.trained_run import load_trained_run
from mtmoe.model.decoding.strategies import Sampling


def test_bad_files(tmp_path):
    path = tmp_path / "blanks.txt"
    with pytest.raises(CorpusError, match="cannot be read"):
        read_lines(path)
    path.write_bytes(b"ok\nbad \xff\n")
    lines = read_lines(path)
    assert lines[1] == "ok" and "not UTF-8: byte 0xff at offset 4" in str(lines[2])
    path.write_text("\n \n")
    with pytest.raises(CorpusError, match="no text"):
        read_lines(path)


def test_a_file_is_filled_line_by_line(tiny_model, tmp_path, capsys):
    model_dir = shutil.copytree(tiny_model, tmp_path / "model")
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("frei und <extra_id_0>\n\n<extra_id_0> haki\n", encoding="utf-8")
    request = PredictionRequest(model_dir, source, target)
    filled = predict(request)
    assert [line.line for line in filled] == [1, 3]
    lines = target.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3 and lines[1] == ""
    assert lines[0].startswith("frei und ") and lines[2].endswith(" haki")
    assert predict(request) == filled  # greedy: the same again
    assert "answering" in capsys.readouterr().err


def test_a_bad_line_is_named_and_the_others_are_answered(tiny_model, tmp_path):
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_bytes(
        b"frei <extra_id_0> <extra_id_0>\n<extra_id_0> haki\nbad \xff\n"
        b"no blank\n" + b"long " * 40 + b"\n"
    )
    lines = predict(PredictionRequest(tiny_model, source, target))
    assert [line.line for line in lines] == [1, 2, 3, 4, 5]
    problems = [line.problem.removeprefix(str(source)) for line in lines]
    assert problems[0] == ":1: the blank <extra_id_0> stands there twice"
    assert problems[2].startswith(":3: not UTF-8: byte 0xff")
    assert problems[4] == ":5: the line has 202 tokens; the model takes at most 48"
    assert problems[1] == problems[3] == ""
    written = target.read_text(encoding="utf-8").split("\n")
    assert len(written) == 6 and written[0] == written[2] == written[4] == ""
    assert written[1].endswith(" haki") and written[3].startswith("no blank")
    assert list(lines[3].spans) == [0]  # the model knows blanks alone: one at the end


def test_a_decoder_alone_gets_no_end_mark_behind_a_prompt(
    tiny_model, tmp_path, monkeypatch
):
    model_dir = shutil.copytree(tiny_model, tmp_path / "model")
    config = (model_dir / "config.gin").read_text()
    lines = [line for line in config.splitlines() if "coder_layers" not in line]
    config = "\n".join([*lines, "EncoderDecoder.num_layers = 2"])
    config = config.replace("EncoderDecoder", "DecoderOnly")
    lengths = '{"inputs": 48, "targets": 20}'
    (model_dir / "config.gin").write_text(config.replace(lengths, '{"targets": 48}'))
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("frei <extra_id_0>\nhaki\n", encoding="utf-8")
    asked = []

    class Silent:
        """Stands in for a model that writes nothing."""

        def __init__(self, run, strategy, eos_id, batch_size, seed):
            asked.append((run.model.bidirectional_prefix, eos_id))
            self.run = run

        def load(self, values, where):
            pass

        def __call__(self, inputs, keys, what):
            asked.append(inputs)
            return np.zeros([len(inputs), 48], np.int32)

    monkeypatch.setattr(predictions, "Generator", Silent)
    predict(PredictionRequest(model_dir, source, target))
    # Nothing was written: a typed blank stays, one that was put at the end goes again.
    assert target.read_text() == "frei <extra_id_0>\nhaki\n"
    (is_prefix, eos_id), inputs = asked
    assert is_prefix and eos_id == 1 and not (inputs == 1).any()
    first_blank = 358  # bytes, and 100 sentinels behind them
    assert inputs.tolist() == [
        [*(3 + byte for byte in b"frei "), first_blank],
        [*(3 + byte for byte in b"haki "), first_blank],
    ]
    run = load_trained_run(model_dir).settings
    assert predictions._as_trained(run, is_prefix=True) is run
    plain = predictions._as_trained(run, is_prefix=False)
    assert not plain.model.bidirectional_prefix  # each token saw those before it


def test_a_strategy_and_a_seed_are_chosen(tiny_model, tmp_path, monkeypatch):
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("frei <extra_id_0>\n\n<extra_id_0> haki\n", encoding="utf-8")
    made, asked = [], []

    class Silent:
        """Stands in for a model that writes nothing."""

        def __init__(self, run, strategy, eos_id, batch_size, seed):
            made.append((strategy, batch_size, seed))

        def load(self, values, where):
            assert values and where.startswith("step 20")

        def __call__(self, inputs, keys, what):
            asked.append(list(keys))
            return np.zeros([len(inputs), 20], np.int32)

    monkeypatch.setattr(predictions, "Generator", Silent)
    request = PredictionRequest(
        tiny_model, source, target, "latest", "sampling", {"top_p": 0.5}, 7
    )
    predict(request)
    assert made == [(Sampling(top_p=0.5), 2, 7)]
    assert asked == [[1, 3]]  # line numbers are the keys of the noise
    for strategy, fields, message in (
        ("sampling", {"num_beams": 2}, "num_beams"),
        ("gready", {}, "greedy"),
    ):
        wrong = dataclasses.replace(request, strategy=strategy, strategy_fields=fields)
        with pytest.raises(UnknownNameError, match=message):
            predict(wrong)
