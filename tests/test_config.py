"""Settings: where they come from, what wins, and what is said when one is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import PIL
import pytest

from picasso.config import Config, Preprocessing, import_function, load_config
from picasso.errors import ConfigError


@pytest.fixture(autouse=True)
def _empty_working_directory(tmp_path, monkeypatch):
    """No config.py of the repository is read, and what config files put on sys.path goes away."""
    folder = tmp_path / "working"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def config_file(tmp_path):
    """Writes a config file into a folder of its own and gives its path."""

    def write(text, name="settings.py"):
        path = tmp_path / "project" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def refused(*args, **kwargs) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(*args, **{"environ": {}} | kwargs)
    return caught.value


def test_defaults():
    config = load_config(environ={})
    assert config == Config()
    assert (config.HOST, config.PORT, config.MODEL_PATH) == ("127.0.0.1", 8000, None)


def test_every_setting_says_what_it_means():
    for model in (Config, Preprocessing):
        assert all(field.description for field in model.model_fields.values())


@pytest.mark.parametrize(
    ("places", "port"),
    [
        ((), 8000),
        (("file",), 1),
        (("environment",), 2),
        (("overrides",), 3),
        (("file", "environment"), 2),
        (("file", "overrides"), 3),
        (("environment", "overrides"), 3),
        (("file", "environment", "overrides"), 3),
    ],
)
def test_precedence(config_file, places, port):
    config = load_config(
        config_file("PORT = 1\n") if "file" in places else None,
        {"PORT": 3} if "overrides" in places else {"PORT": None},  # None: not said on the command line
        {"PICASSO_PORT": "2"} if "environment" in places else {},
    )
    assert port == config.PORT


def test_places_add_up(config_file):
    config = load_config(config_file("PORT = 1\n"), {"HOST": "h"}, {"PICASSO_MAX_IMAGES": "7"})
    assert (config.PORT, config.HOST, config.MAX_IMAGES) == (1, "h", 7)


# Which file
def test_config_py_of_the_working_directory():
    Path("config.py").write_text("PORT = 4\n")
    assert load_config(environ={}).PORT == 4


def test_the_environment_names_a_file(config_file):
    Path("config.py").write_text("PORT = 4\n")
    assert load_config(environ={"PICASSO_SETTINGS": str(config_file("PORT = 5\n"))}).PORT == 5


def test_a_named_file_wins_over_the_environments(config_file):
    assert load_config(config_file("PORT = 6\n"), environ={"PICASSO_SETTINGS": "/nowhere.py"}).PORT == 6


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_a_file_that_is_missing(tmp_path, how):
    path = str(tmp_path / "missing.py")
    error = refused(path) if how == "argument" else refused(environ={"PICASSO_SETTINGS": path})
    assert error.message == f"The config file {path} does not exist. Check --config or PICASSO_SETTINGS."


# Another model than that of a config.py which only lies there
OWN_CONFIG = """
MODEL_PATH = "own.keras"
MODEL_LABELS = ["a", "b"]
SAMPLE_IMAGES = ["own.png"]
PORT = 4
"""
SAYING = {
    "command line": lambda path: {"overrides": {"MODEL_PATH": path}},
    "environment": lambda path: {"environ": {"PICASSO_MODEL_PATH": path}},
}


@pytest.fixture(params=SAYING)
def saying(request):
    """Loads the settings with a model's path said on the command line or in the environment."""
    return lambda path, file=None, **more: load_config(file, **{"environ": {}} | SAYING[request.param](path) | more)


def test_another_model_takes_nothing_from_the_model_of_config_py(saying):
    Path("config.py").write_text(OWN_CONFIG)
    config = saying("other.keras")
    assert (config.MODEL_LABELS, config.SAMPLE_IMAGES, config.PORT) == (None, [], 4)
    assert Path.cwd() / "other.keras" == config.MODEL_PATH


@pytest.mark.parametrize("path", ["own.keras", "../working/own.keras"])
def test_the_same_model_keeps_its_config_py(saying, path):
    Path("config.py").write_text(OWN_CONFIG)
    config = saying(path)
    assert (config.MODEL_LABELS, len(config.SAMPLE_IMAGES), config.PORT) == (["a", "b"], 1, 4)


def test_a_config_py_without_a_model_counts_for_any(saying):
    Path("config.py").write_text('MODEL_LABELS = ["a", "b"]\n')
    assert saying("other.keras").MODEL_LABELS == ["a", "b"]


def test_a_named_config_file_counts_for_any_model(config_file, saying):
    config = saying("other.keras", config_file(OWN_CONFIG))
    assert (config.MODEL_LABELS, len(config.SAMPLE_IMAGES), config.PORT) == (["a", "b"], 1, 4)
    assert Path.cwd() / "other.keras" == config.MODEL_PATH


def test_a_config_file_that_the_environment_names_counts_for_any_model(config_file):
    environ = {"PICASSO_SETTINGS": str(config_file(OWN_CONFIG))}
    config = load_config(overrides={"MODEL_PATH": Path("other.keras")}, environ=environ)
    assert (Path.cwd() / "other.keras", ["a", "b"]) == (config.MODEL_PATH, config.MODEL_LABELS)


def test_the_environments_other_settings_count_for_another_model():
    Path("config.py").write_text(OWN_CONFIG)
    environ = {"PICASSO_MODEL_PATH": "other.keras", "PICASSO_MODEL_NAME": "Other"}
    assert load_config(environ=environ).MODEL_NAME == "Other"


def test_config_py_with_a_wrong_path_is_still_an_error():
    Path("config.py").write_text("MODEL_PATH = 3\n")
    assert refused(overrides={"MODEL_NAME": "x"}).message.startswith("MODEL_PATH")


def test_only_functions_are_functions():
    config = Config(MODEL_LABELS="imagenet", MODEL_PREPROCESS="mine:imagenet", MODEL_DECODE="mine:decode")
    assert config.functions() == {"MODEL_PREPROCESS": "mine:imagenet", "MODEL_DECODE": "mine:decode"}
    assert Config(MODEL_LABELS="names.csv").functions() == {}


def test_only_upper_case_names_are_settings(config_file):
    config = load_config(config_file("import os\nport = 1\n_PORT = 2\nPort = 3\n"))
    assert config.PORT == 8000


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("PORT = 1\nHOST = 1 / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("PORT = 1\n\nHOST = (\n", 3, "SyntaxError: '(' was never closed"),
        ("\n\nimport picasso_nowhere\n", 3, "ModuleNotFoundError: No module named 'picasso_nowhere'"),
        ("import sys\nsys.exit('no GPU')\n", 2, "SystemExit: no GPU"),
        ("import json\n\nMODEL_LABELS = json.loads('')\n", 3, "JSONDecodeError"),
        ("def port():\n    return 1 + None\nPORT = port()\n", 2, "TypeError"),
    ],
)
def test_a_file_that_fails_is_named_with_its_line(config_file, text, line, what):
    path = config_file(text)
    assert f"The config file {path} failed at {path}, line {line}: {what}" in refused(path).message


# Keys
@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("MODEL_PAHT", "Did you mean MODEL_PATH?"),
        ("MODEL_LABEL", "Did you mean MODEL_LABELS?"),
        ("VISUALISATION_FOLDERS", "Did you mean VISUALIZATION_FOLDERS?"),
        ("XYZZY", "The known ones are MODEL_NAME, "),
    ],
)
def test_unknown_keys_get_the_nearest(config_file, key, hint):
    path = config_file(f"{key} = 1\n")
    for error in (refused(path), refused(overrides={key: 1})):
        assert error.message.startswith(f"{key} is not a setting of Picasso. {hint}")
        assert error.field == key


def test_unknown_keys_of_the_environment_get_the_nearest():
    error = refused(environ={"PICASSO_PROT": "1"})
    assert error.message == "PICASSO_PROT is not a setting of Picasso. Did you mean PICASSO_PORT?"


def test_other_environment_variables_are_left_alone():
    assert load_config(environ={"PATH": "x", "MYPICASSO_PORT": "1"}).PORT == 8000


# Values
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PORT", 65536),
        ("PORT", "http"),
        ("SESSION_HOURS", 0),
        ("MODEL_FRAMEWORK", "caffe"),
        ("MODEL_PREPROCESS", {"geometry": "stretch"}),
        ("MODEL_PREPROCESS", {"scale": [0, 1], "subtract": 127}),
        ("MODEL_PREPROCESS", {"scale": "caffe", "divide": 255}),
        ("MODEL_PREPROCESS", 3),
        ("SAMPLE_IMAGES", "one.png"),
    ],
)
def test_wrong_values_are_named(key, value):
    message = refused(overrides={key: value}).message
    assert message.startswith(key)
    assert "got " in message
    assert "\n" not in message


def test_an_unknown_part_of_a_setting_names_the_nearest():
    message = refused(overrides={"MODEL_PREPROCESS": {"geometri": "resize"}}).message
    assert message == "MODEL_PREPROCESS has no 'geometri'. Did you mean 'geometry'?"


@pytest.mark.parametrize(("wrong", "nearest"), [("cafe", "caffe"), ("image_net", "imagenet"), ("pytorch", "torch")])
def test_a_wrong_name_of_a_range_gets_the_nearest(wrong, nearest):
    message = refused(overrides={"MODEL_PREPROCESS": {"scale": wrong}}).message
    assert message == (
        "MODEL_PREPROCESS.scale: give two numbers, such as [0, 1], or one of 'imagenet', 'torch', 'caffe', 'tf' "
        f"(the nearest is '{nearest}'), got '{wrong}'."
    )
    assert "nearest" not in refused(overrides={"MODEL_PREPROCESS": {"scale": "xyz"}}).message


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("MAX_IMAGES", "7", 7),
        ("SESSION_HOURS", "0.5", 0.5),
        ("MODEL_ALLOW_UNSAFE", "true", True),
        ("MODEL_LABELS", '["cat", "dog"]', ["cat", "dog"]),
        ("MODEL_LABELS", "labels:names", "labels:names"),
        ("MODEL_PREPROCESS", "mine:prepare", "mine:prepare"),
        ("MODEL_PREPROCESS", '{"scale": [-1, 1]}', Preprocessing(scale=(-1, 1))),
        ("MODEL_PREPROCESS", '{"subtract": [1, 2, 3]}', Preprocessing(subtract=(1, 2, 3))),
        ("MODEL_PREPROCESS", '{"scale": "caffe"}', Preprocessing(scale="caffe")),
        ("MODEL_FRAMEWORK", "tensorflow", "tensorflow"),
        ("MODEL_NAME", "[draft", None),
    ],
)
def test_text_and_json_in_the_environment(key, text, expected):
    environ = {f"PICASSO_{key}": text}
    if expected is None:
        error = refused(environ=environ)
        assert error.message.startswith(f"PICASSO_{key} is not valid JSON")
        assert error.field == key
    else:
        assert getattr(load_config(environ=environ), key) == expected


# Paths
def test_paths_are_relative_to_the_file(config_file):
    path = config_file(
        "MODEL_PATH = 'models/a.keras'\n"
        "DATA_DIR = 'data'\n"
        "VISUALIZATION_FOLDERS = ['mine', '/other']\n"
        "SAMPLE_IMAGES = ['cat.png']\n"
        "MODEL_LABELS = 'labels.txt'\n"
    )
    config, folder = load_config(path), path.parent
    assert (folder / "models/a.keras", folder / "data") == (config.MODEL_PATH, config.DATA_DIR)
    assert [folder / "mine", Path("/other")] == config.VISUALIZATION_FOLDERS
    assert [str(folder / "cat.png")] == config.SAMPLE_IMAGES
    assert str(folder / "labels.txt") == config.MODEL_LABELS


def test_paths_of_the_environment_are_relative_to_the_working_directory():
    environ = {"PICASSO_MODEL_PATH": "a.keras", "PICASSO_VISUALIZATION_FOLDERS": json.dumps(["mine"])}
    config = load_config(environ=environ)
    assert Path.cwd() / "a.keras" == config.MODEL_PATH
    assert [Path.cwd() / "mine"] == config.VISUALIZATION_FOLDERS


def test_a_tilde_is_the_home_folder(config_file, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert Path("/home/somebody/a.keras") == load_config(config_file("MODEL_PATH = '~/a.keras'\n")).MODEL_PATH


def test_paths_inside_an_installed_package(config_file):
    path = config_file("SAMPLE_IMAGES = ['PIL:Image.py']\nVISUALIZATION_FOLDERS = ['PIL:sub/folder']\n")
    package = Path(PIL.__file__).parent
    config = load_config(path)
    assert [str(package / "Image.py")] == config.SAMPLE_IMAGES
    assert [package / "sub/folder"] == config.VISUALIZATION_FOLDERS


@pytest.mark.parametrize("package", ["picasso_nowhere", "json.py", "this"])
def test_packages_that_are_not_there(config_file, package):
    path = config_file(f"SAMPLE_IMAGES = ['{package}:cat.png']\n")
    if package == "json.py":  # not a package's name: taken as a file's
        assert [str(path.parent / "json.py:cat.png")] == load_config(path).SAMPLE_IMAGES
    else:
        assert f"names the package {package}, which is not installed" in refused(path).message


def test_the_files_folder_is_on_the_path(config_file):
    config_file("def prepare(images):\n    return 'ready'\n", "module_beside_config.py")
    load_config(config_file("MODEL_PREPROCESS = 'module_beside_config:prepare'\n"))
    assert import_function("module_beside_config:prepare", "MODEL_PREPROCESS")([]) == "ready"


# Functions
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("prepare", "MODEL_PREPROCESS must be written as \"module:function\", got 'prepare'."),
        (":prepare", "MODEL_PREPROCESS must be written as \"module:function\", got ':prepare'."),
        ("picasso_nowhere:f", "the module picasso_nowhere cannot be imported: No module named 'picasso_nowhere'."),
        ("json:prepare", "the module json has no prepare."),
        ("json:__doc__", "is a str, not a function."),
    ],
)
def test_functions_that_are_not_there(name, sentence):
    with pytest.raises(ConfigError) as caught:
        import_function(name, "MODEL_PREPROCESS")
    assert caught.value.message.endswith(sentence)
    assert caught.value.field == "MODEL_PREPROCESS"


# Several models


def test_models_take_what_they_leave_out_from_the_settings_above(config_file):
    file = config_file("""
MODEL_FRAMEWORK = "tensorflow"
MODEL_LABELS = ["x", "y"]
MODELS = {
    "old": {"MODEL_PATH": "old_model"},
    "new": {"MODEL_PATH": "new.keras", "MODEL_FRAMEWORK": "keras", "MODEL_LABELS": "labels.txt"},
}
""")
    folder = file.parent
    (folder / "labels.txt").write_text("a")
    config = load_config(file, environ={})
    old, new = config.models().values()
    assert list(config.models()) == ["old", "new"]
    assert (folder / "old_model", "tensorflow", ["x", "y"]) == (old.MODEL_PATH, old.MODEL_FRAMEWORK, old.MODEL_LABELS)
    assert (folder / "new.keras", "keras") == (new.MODEL_PATH, new.MODEL_FRAMEWORK)
    assert (str(folder / "labels.txt"), "new", {}) == (new.MODEL_LABELS, new.MODEL_NAME, new.MODELS)
    assert old.model_digest() != new.model_digest()


def test_one_model_is_called_model(tmp_path):
    config = Config(MODEL_PATH=tmp_path / "birds.keras")
    assert config.models() == {"model": config}
    assert (config.model_name, Config(MODEL_NAME="Birds").model_name) == ("birds", "Birds")


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        ({"a": {"PATH": "x"}}, "MODELS['a'] has no 'PATH'. Did you mean MODEL_PATH?"),
        ({"a": {"MODEL_PTAH": "x"}}, "MODELS['a'] has no 'MODEL_PTAH'. Did you mean MODEL_PATH?"),
        ({"a": {"PORT": 1}}, "MODELS['a'] has no 'PORT'."),
        ({"a": {"MODEL_NAME": "b"}}, "MODELS['a'] has no 'MODEL_NAME'. The known ones are MODEL_FRAMEWORK, MODEL_PATH"),
        ({"a": {"MODEL_FRAMEWORK": "torch"}}, "MODELS['a']: MODEL_FRAMEWORK: "),
        (
            {"a": {"MODEL_PREPROCESS": {"sclae": 1}}},
            "MODELS['a']: MODEL_PREPROCESS has no 'sclae'. Did you mean",
        ),
        ({"a@b": {}}, "MODELS: a model's name is text without '@' and line breaks, got 'a@b'."),
        ({"a\nb": {}}, "a model's name is text"),
        ({" ": {}}, "a model's name is text"),
        ({"a": 3}, "MODELS"),
        ([], "MODELS"),
    ],
)
def test_wrong_models_are_said_when_the_config_is_read(models, sentence):
    with pytest.raises(ConfigError) as error:
        load_config(None, {"MODELS": models}, {})
    assert sentence in error.value.message


def test_a_path_from_a_higher_place_means_that_one_model(config_file):
    file = config_file('MODELS = {"a": {}, "b": {}}')
    assert list(load_config(file, {}, {}).models()) == ["a", "b"]
    assert list(load_config(file, {"MODEL_PATH": "x.keras"}, {}).models()) == ["model"]
    assert list(load_config(file, {}, {"PICASSO_MODEL_PATH": "x.keras"}).models()) == ["model"]


@pytest.mark.parametrize("value", ["much", "0", "-1GiB"])
def test_a_limit_of_memory_is_a_number_of_bytes(value):
    with pytest.raises(ConfigError, match="MODELS_MEMORY_LIMIT"):
        load_config(None, {"MODELS_MEMORY_LIMIT": value}, {})
    assert load_config(None, {"MODELS_MEMORY_LIMIT": "4GiB"}, {}).MODELS_MEMORY_LIMIT == "4GiB"
