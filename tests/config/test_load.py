"""A config is loaded as written, or refused with file, line and the right name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import gin
import pytest

from mtmoe.config import load
from mtmoe.config.effect import idle_bindings, sorted_by_owner
from mtmoe.config.in_force import InForce
from mtmoe.config.load import gin_directory, load_config, resolved_bindings
from mtmoe.errors import ConfigError


@gin.configurable(module="config_test")
@dataclasses.dataclass(frozen=True)
class Motor:
    """A configurable class with typed fields."""

    power: float = 1.0
    cylinders: int | None = 4
    fuel: str = "oil"
    gears: tuple[int, ...] = (1, 2)
    turbo: bool = False


@gin.configurable(module="config_test")
@dataclasses.dataclass(frozen=True)
class Vehicle:
    """A configurable with parameters that have no default."""

    engine: Motor
    name: str
    options: dict[str, int] = dataclasses.field(default_factory=dict)


@gin.configurable(module="config_test")
def horn(volume: int = 3) -> int:
    """A configurable nobody calls."""
    return volume


@gin.configurable(module="config_test")
def carry(load=None):
    """A configurable that says nothing of its parameter."""
    return load


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "import_rooms", lambda: None)
    yield
    gin.clear_config()


def write(name: str, text: str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name


def refused(text: str, *params: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config([write("run.gin", text)], params)
    return str(caught.value)


def test_files_includes_macros_scopes_and_parameters() -> None:
    write("parts/engine.gin", "POWER = 2.5\nMotor.power = %POWER\n")
    write(
        "run.gin",
        'include "parts/engine.gin"\n'
        "Vehicle:\n  engine = @big/Motor()\n  name = 'é'\n"
        "big/Motor.cylinders = 12\n",
    )
    load_config(["run.gin"], ["POWER=7", "Vehicle.options={'seats': 2}"])
    vehicle = Vehicle()
    assert vehicle == Vehicle(Motor(7, 12), "é", {"seats": 2})


def test_text_loads_to_the_same_config(tmp_path: Path) -> None:
    write("run.gin", "P = 2\nMotor.power = %P\nVehicle.engine = @e/Motor()\n")
    first = load_config(["run.gin"], ["e/Motor.fuel='hay'", "Vehicle.name='cart'"])
    write("model/config.gin", first.text)
    second = load_config(model_dir=tmp_path / "model")
    assert second.text == first.text
    assert second.fingerprint == first.fingerprint
    assert Vehicle() == Vehicle(Motor(2, fuel="hay"), "cart")


def test_parameters_win_over_the_model_folder(tmp_path: Path) -> None:
    write("model/config.gin", "Motor.power = 2.0\n")
    load_config((), ["Motor.power = 3.0"], model_dir=tmp_path / "model")
    assert Motor().power == 3.0


def test_fingerprint_sees_values_not_macros_or_order() -> None:
    write("a.gin", "P = 2\nMotor.power = %P\nMotor.fuel = 'x'\n")
    write("b.gin", "Motor.fuel = 'x'\nconfig_test.Motor.power = 2\n")
    write("c.gin", "Motor.fuel = 'x'\nMotor.power = 3\n")
    a, b, c = (load_config([name]) for name in ("a.gin", "b.gin", "c.gin"))
    assert a.fingerprint == b.fingerprint != c.fingerprint
    assert a.bindings == {"Motor.power": "2", "Motor.fuel": "'x'"}
    assert [statement.where for statement in a.statements] == [
        "a.gin:1",
        "a.gin:2",
        "a.gin:3",
    ]


def test_shipped_files_are_found_by_their_short_name() -> None:
    assert (gin_directory() / "runs" / "quickstart.gin").is_file()


def test_a_users_module_in_the_current_folder_is_imported() -> None:
    write(
        "my_parts_for_config_test.py",
        "import gin\n@gin.configurable\ndef sail(area=1): return area\n",
    )
    write("run.gin", "import my_parts_for_config_test\nsail.area = 9\n")
    config = load_config(["run.gin"])
    assert gin.get_configurable("sail")() == 9
    assert config.text.startswith("import my_parts_for_config_test\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\nMoto.power = 1", ["run.gin:2", "'Moto'", "Motor"]),
        ("Motor.pwoer = 1", ["run.gin:1", "'pwoer'", "power", "It has: power, cyl"]),
        ("Motor.fuel = @hron", ["run.gin:1", "'hron'", "horn"]),
        ("Motor.fuel = @e/hron()", ["run.gin:1", "'hron'", "horn"]),
        ("PO = 1\nMotor.power = %PO\nhorn.volume = %P", ["run.gin:3", "'P'", "PO"]),
        ("POWRE = 1", ["run.gin:1", "nothing uses", "'POWRE'"]),
        ("A = %B\nB = %A\nMotor.power = %A", ["%A is defined by itself", "run.gin:3"]),
        ("Motor.power = 1 2", ["run.gin:1", "Expected newline", "Motor.power = 1 2"]),
        (
            "\nMotor.fuel = oil",
            ["run.gin:2", "text needs quotes", "Motor.fuel = oil"],
        ),
        ("Motor.gears = (1,\n", ["run.gin:"]),
        ("Motor:\n  power = 1\n bad = 2\n", ["run.gin:3"]),
        ("Motor.power = '5'", ["Motor.power", "float", "'5'", "run.gin:1"]),
        ("Motor.power = True", ["Motor.power", "True"]),
        ("Motor.cylinders = 4.5", ["Motor.cylinders", "int | None", "4.5"]),
        ("P = 'x'\nMotor.cylinders = %P", ["Motor.cylinders", "run.gin:2"]),
        ("Motor.turbo = 1", ["Motor.turbo", "bool"]),
        ("Motor.gears = 3", ["Motor.gears", "tuple"]),
        ("Vehicle.options = [1]", ["Vehicle.options", "dict"]),
        ("include 'parts/engin.gin'", ["run.gin:1", "parts/engin.gin", "not found"]),
        ("include 'run.gin'", ["run.gin:1", "includes itself"]),
        ("import no_such_module_here", ["run.gin:1", "no_such_module_here"]),
        (
            "Motor.power = %gin.REQUIRED",
            ["must be given", "Motor.power", "run.gin:1"],
        ),
        ("M = %gin.REQUIRED\nMotor.power = %M", ["--gin_param='M=...'", "run.gin:1"]),
        ("carry.load = @Vehicle()", ["Vehicle.engine is not set", "Vehicle.name"]),
    ],
)
def test_every_mistake_is_named_with_its_place(text: str, expected: list[str]) -> None:
    message = refused(text)
    for part in expected:
        assert part in message


def test_none_and_integers_are_what_the_types_say() -> None:
    write("run.gin", "Motor.cylinders = None\nMotor.power = 3\nMotor.gears = [1]\n")
    load_config(["run.gin"])
    assert Motor() == Motor(power=3, cylinders=None, gears=[1])


def test_all_mistakes_are_listed_at_once() -> None:
    message = refused("Moto.power = 1\nhorn.volme = 2\n")
    assert "run.gin:1" in message and "run.gin:2" in message


def test_parameter_is_quoted_in_its_error() -> None:
    message = refused("horn.volume = 2", "horn.volme=3")
    assert "--gin_param=horn.volme=3" in message and "volume" in message
    assert "--gin_param=Motor.fuel=oil: " in refused("", "Motor.fuel=oil")
    assert "files only" in refused("", "include 'run.gin'")


def test_overriding_the_use_of_a_macro_is_no_mistake() -> None:
    write("run.gin", "P = 2\nMotor.power = %P\n")
    load_config(["run.gin"], ["Motor.power=3"])
    assert Motor().power == 3


def test_roots_must_be_complete() -> None:
    write("run.gin", "Vehicle.name = 'a'\n")
    with pytest.raises(ConfigError, match=r"Vehicle\.engine is not set"):
        load_config(["run.gin"], roots=["Vehicle"])


def test_a_refused_config_leaves_the_one_before() -> None:
    load_config([write("good.gin", "horn.volume = 8")])
    refused("horn.volume = 1\nhorn.volme = 2")
    assert horn() == 8


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean .*runs/quickstart.gin"):
        load_config(["runs/quikstart.gin"])
    with pytest.raises(ConfigError, match="not a model folder"):
        load_config(model_dir=tmp_path)
    Path("latin.gin").write_bytes(b"# \xe9\n")
    with pytest.raises(ConfigError, match="latin.gin"):
        load_config(["latin.gin"])


def test_ambiguous_names_are_listed() -> None:
    gin.external_configurable(lambda size=1: size, "valve", module="config_test.left")
    gin.external_configurable(lambda size=1: size, "valve", module="config_test.right")
    message = refused("valve.size = 2")
    assert "ambiguous: config_test.left.valve or config_test.right.valve" in message
    load_config([write("run.gin", "left.valve.size = 2")])


def test_bindings_of_another_version_are_still_read() -> None:
    text = "Gone.size = 3\nMotor.power = 1\n"
    assert resolved_bindings(text, "x") == {"Gone.size": "3", "Motor.power": "1"}


def idle(config: load.Config) -> tuple[list[str], list[str]]:
    """Returns errors and notices about bindings that nothing has read."""
    return sorted_by_owner(idle_bindings(InForce(config.statements), ()))


def test_what_nobody_read_is_an_error_with_its_place() -> None:
    text = "Motor.power = 2\nbgi/Motor.fuel = 'x'\nhorn.volume = 1\n"
    config = load_config([write("run.gin", text)])
    with gin.config_scope("big"):
        Motor()
    errors, notices = idle(config)
    assert errors == [
        "bgi/Motor.fuel has no effect: nothing calls Motor in the scope 'bgi'; did "
        "you mean big? (run.gin:2)",
        "horn.volume has no effect: nothing in this run calls horn (run.gin:3)",
    ]
    assert not notices


def test_what_an_included_file_set_and_nobody_read_is_listed() -> None:
    write("parts.gin", "horn.volume = 1\nMotor.power = 2\n")
    config = load_config([write("run.gin", "include 'parts.gin'\n")])
    Motor()
    errors, (notice,) = idle(config)
    assert not errors and "horn (1)" in notice and "Motor" not in notice


def test_a_binding_that_an_inner_scope_hides_has_no_effect() -> None:
    text = "Motor.power = 2\nbig/Motor.power = 3\n"
    config = load_config([write("run.gin", text)])
    with gin.config_scope("big"):
        Motor()
    ((error,), _) = idle(config)
    assert error.startswith("Motor.power has no effect: every call of Motor has")


def test_what_was_read_in_any_scope_is_used() -> None:
    config = load_config([write("run.gin", "a/Motor.power = 2\nhorn.volume = 2\n")])
    with gin.config_scope("a/b"):
        Motor()
    horn()
    assert idle(config) == ([], [])


def test_a_config_without_its_idle_bindings_loads_to_the_same() -> None:
    text = "P = 2\nMotor.power = %P\nhorn.volume = %Q\nQ = 3\n"
    config = load_config([write("run.gin", text)])
    Motor()
    left = config.without(
        one.key for one in idle_bindings(InForce(config.statements), ())
    )
    assert left.bindings == {"Motor.power": "2"}
    assert "horn" not in left.text and "Q" not in left.text
    again = load_config([write("flat.gin", left.text)])
    assert again.fingerprint == left.fingerprint and Motor() == Motor(power=2)


@pytest.mark.parametrize(
    "text",
    [
        "Motor.power = 1\nMotor.fuel = 'a'\nMotor.power = 2\n",
        "Motor.power = 1\nMotor.fuel = 'a'\nconfig_test.Motor.power = 1\n",
        "Motor:\n  power = 1\nMotor.power = 2\n",
        "P = 1\nMotor.power = %P\nP = 2\n",
    ],
)
def test_a_key_that_one_file_sets_twice_is_a_mistake(text: str) -> None:
    message = refused(text)
    assert "is set twice in run.gin" in message and "run.gin:" in message


def test_a_later_file_and_the_same_include_twice_are_no_mistakes() -> None:
    write("parts.gin", "Motor.power = 1\n")
    write("run.gin", "include 'parts.gin'\ninclude 'parts.gin'\nMotor.power = 2\n")
    load_config(["run.gin", write("more.gin", "Motor.power = 3\n")])
    assert Motor().power == 3


def test_mistakes_of_all_files_are_listed_beside_those_of_syntax() -> None:
    write("broken.gin", "Motor.pwoer = 1\nMotor.fuel = oil\n")
    message = refused("include 'broken.gin'\ninclude 'gone.gin'\nhorn.volme = 2\n")
    for part in ("broken.gin:1", "broken.gin:2", "run.gin:2", "gone.gin", "run.gin:3"):
        assert part in message


def test_places_name_the_macro_that_is_wrong() -> None:
    message = refused("P = 'x'\n\nMotor.cylinders = %P\n")
    assert "(run.gin:3; %P is set at run.gin:1)" in message


def test_a_module_that_fails_is_one_line() -> None:
    write("my_broken_parts.py", "import gin\nundefined_name\n")
    message = refused("\nimport my_broken_parts\n")
    assert message == (
        "run.gin:2: import my_broken_parts: NameError: name 'undefined_name' is not "
        "defined, my_broken_parts.py:2"
    )
