import math

from mtmoe.evaluate.records import (
    ExpertRow,
    MetricRow,
    expert_csv,
    metric_csv,
    read_expert_rows,
    read_metric_rows,
    text_cell,
)

NAN = float("nan")


def test_per_language_csv_is_fixed_to_the_byte():
    rows = [
        MetricRow("de", "German", "Latn", "t.de", "loss", 1 / 3, 0.25, 0.5, 8, 90, 30),
        MetricRow("xx", "=HYPERLINK()", "Latn", "-t,x", "m", -0.5, NAN, NAN, 1, 2, 3),
    ]
    assert metric_csv(rows) == (
        "language,name,script,task,metric,value,ci_low,ci_high,"
        "num_examples,num_bytes,num_tokens\n"
        "de,German,Latn,t.de,loss,0.333333,0.250000,0.500000,8,90,30\n"
        "xx,'=HYPERLINK(),Latn,\"'-t,x\",m,-0.500000,,,1,2,3\n"
    )


def test_metric_rows_come_back(tmp_path):
    row = MetricRow("de", "German", "Latn", "t", "loss", 0.125, NAN, NAN, 8, 90, 30)
    path = tmp_path / "per_language.csv"
    path.write_text(metric_csv([row]))
    [read] = read_metric_rows(path)
    assert math.isnan(read.ci_low) and math.isnan(read.ci_high)
    assert (read.value, read.num_tokens, read.name) == (0.125, 30, "German")


def test_expert_rows_come_back(tmp_path):
    row = ExpertRow("de", "encoder.1.moe", 3, 17, 0.5)
    path = tmp_path / "experts.csv"
    path.write_text(expert_csv([row]))
    assert path.read_text().startswith("language,layer,expert,count,share\n")
    assert read_expert_rows(path) == (row,)


def test_formulas_are_neutralised():
    for start in "=+-@\t\r":
        assert text_cell(start + "x") == "'" + start + "x"
    assert text_cell("a=b") == "a=b"
