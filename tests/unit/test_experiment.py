import copy

import pytest
import yaml
from pydantic import TypeAdapter

from unsmooth.experiment import (
    Config,
    ConfigError,
    Experiment,
    LogitsExperiment,
    format_number,
    load_experiment,
    parse_config,
)
from unsmooth.provenance import canonical_json
from unsmooth.scores import available_scores
from unsmooth.specs import Recipe

EXPERIMENT = {
    "description": "A test.",
    "dataset": {"kind": "glyphs"},
    "architectures": {"resnet8": {"kind": "cifar_resnet", "depth": 8}},
    "recipe": {"epochs": 2, "batch_size": 10, "optimizer": {"kind": "sgd", "lr": 0.1}},
    "losses": {"ce": None, "ls": {"alpha": [0.1, 0.3]}, "nls": {"kind": "ls", "alpha": [-0.2]}},
    "seeds": [0, 1],
}


def changed(path, value):
    data = copy.deepcopy(EXPERIMENT)
    *parents, last = path.split(".")
    place = data
    for key in parents:
        place = place[key]
    place[last] = value
    return data


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "test.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (0.10, "0.1"),
        (0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-0.2, "-0.2"),
        (1e-05, "0.00001"),
        (100.0, "100"),
    ],
)
def test_numbers_have_one_spelling(value, text):
    assert format_number(value) == text


def test_grid_is_losses_times_alphas_times_seeds(write):
    cells = load_experiment(write(EXPERIMENT)).cells("test")

    assert [cell.folder for cell in cells if cell.seed == 1] == [
        "results/cells/test/resnet8/ce_alpha-0/seed-1",
        "results/cells/test/resnet8/ls_alpha-0.1/seed-1",
        "results/cells/test/resnet8/ls_alpha-0.3/seed-1",
        "results/cells/test/resnet8/nls_alpha--0.2/seed-1",
    ]
    assert len(cells) == 8


def test_equal_settings_are_equal_canonical_text(write):
    one = load_experiment(write(EXPERIMENT))
    reordered = dict(reversed(changed("recipe", dict(reversed(EXPERIMENT["recipe"].items()))).items()))
    reordered["losses"]["ls"]["alpha"] = [0.10, 0.30]
    reordered["recipe"]["optimizer"]["momentum"] = 0.9
    other = load_experiment(write(reordered))

    assert [canonical_json(one.training(cell)) for cell in one.cells("t")] == [
        canonical_json(other.training(cell)) for cell in other.cells("t")
    ]


def test_training_holds_only_what_decides_the_weights(write):
    one = load_experiment(write(EXPERIMENT))
    other = load_experiment(write(EXPERIMENT | {"description": "Other.", "seeds": [0, 1, 2]}))

    assert one.training(one.cells("t")[0]) == other.training(other.cells("t")[0])
    assert one.training(one.cells("t")[-1])["loss"] == {"kind": "ls", "alpha": -0.2}


def test_dataset_folder_names_what_is_not_default(write):
    assert load_experiment(write(EXPERIMENT)).dataset_id == "glyphs"
    dataset = {"kind": "glyphs", "num_train": 50, "noise": 0.5}
    assert load_experiment(write(changed("dataset", dataset))).dataset_id == "glyphs_noise-0.5_num_train-50"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("recipe.epoch", 3, "unknown key 'recipe.epoch'; did you mean 'epochs'?"),
        ("losses.ls.alpha", [0.1, 1.0], r"losses.ls.alpha.1: must be less than 1, got 1.0"),
        ("losses.ls.alpha", [-1.2], r"losses.ls.alpha.0: must be greater than or equal to -1, got -1.2"),
        ("losses.ls.alpha", [float("nan")], "losses.ls.alpha.0: must be"),
        ("losses.ls.alpha", [], "losses.ls.alpha: must not be empty"),
        ("losses.ls.alpha", [0.1, 0.10], r"alphas of loss 'ls' must differ"),
        ("losses.ls", None, "key 'losses.ls.alpha' is missing"),
        ("losses.ce", {"alpha": [0.1]}, "unknown key 'losses.ce.alpha'"),
        ("losses.hinge", None, "losses.hinge: unknown kind 'hinge', expected one of 'ce', 'ls'"),
        ("losses.LS", {"kind": "ls", "alpha": [0.1]}, "losses"),
        ("losses", {}, "losses: must not be empty"),
        ("losses", [1], "losses: must be a valid dictionary"),
        ("seeds", [], "seeds: must not be empty"),
        ("seeds", [1, 1], r"seeds must differ, got \[1, 1\]"),
        ("seeds", [-1], "seeds.0: must be greater than or equal to 0"),
        ("architectures", {}, "architectures: must not be empty"),
        ("architectures", {"mlp": {}}, "architecture 'mlp' takes vectors, dataset 'glyphs' holds images"),
        ("dataset", {"kind": "cifar11"}, "dataset: unknown kind 'cifar11'"),
        ("dataset.num_train", 0, "dataset.num_train: must be greater than or equal to 1, got 0"),
        ("recipe.optimizer.lr", float("inf"), "recipe.optimizer.lr: must be a finite number"),
        ("recipe.optimizer.lr", "fast", "recipe.optimizer.lr: must be a valid number"),
        ("recipe.warmup", {}, "recipe.warmup: give the length either in epochs or in steps"),
        ("recipe.warmup", {"epochs": 2}, "warmup must be shorter than the 2 epochs, got 2"),
        ("recipe.warmup", {"steps": 1000}, "warmup must be shorter than the 1000 steps, got 1000"),
        (
            "recipe.schedule",
            {"kind": "multistep", "milestones": [1, 2]},
            "milestones must lie before the 2 epochs' end",
        ),
        ("architectures.resnet8.depth", 10, "architectures.resnet8.depth: must be 6n \\+ 2"),
        ("architectures", {"imported": {"kind": "mlp"}}, "an architecture cannot be called 'imported'"),
        ("recipe.precision", "fp8", "recipe.precision: must be 'fp32', 'bf16' or 'fp16', got 'fp8'"),
    ],
)
def test_mistakes_are_named_with_file_key_and_value(write, path, value, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_experiment(write(changed(path, value)))
    assert str(error.value).startswith(str(write(EXPERIMENT)))


def test_missing_malformed_and_empty_files_are_named(tmp_path, write):
    write(EXPERIMENT)
    with pytest.raises(ConfigError, match=r"tset.yaml does not exist; did you mean 'test'\?"):
        load_experiment(tmp_path / "tset.yaml")
    with pytest.raises(ConfigError, match="test.yaml, line 2 is not YAML"):
        load_experiment(write("a: [1\nb: 2"))
    with pytest.raises(ConfigError, match="expected a mapping of keys to values, got NoneType"):
        load_experiment(write(""))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_experiment(tmp_path / "folder.yaml")
    with pytest.raises(ConfigError, match="Test-1.yaml must be named in lower-case letters"):
        load_experiment(tmp_path / "Test-1.yaml")


def test_warmup_and_schedule_must_fit_each_other():
    common = {"epochs": 5, "batch_size": 1, "optimizer": {"kind": "sgd", "lr": 1}}
    with pytest.raises(ValueError, match="one_cycle warms up by itself"):
        Recipe.model_validate(common | {"schedule": {"kind": "one_cycle"}, "warmup": {"epochs": 1}})
    with pytest.raises(ValueError, match="needs its warmup in epochs"):
        Recipe.model_validate(common | {"schedule": {"kind": "cosine", "unit": "epoch"}, "warmup": {"steps": 1}})


def test_shipped_configuration_and_experiments_are_valid(pytestconfig):
    config = parse_config(yaml.safe_load((pytestconfig.rootpath / "config.yaml").read_text()))

    for path in (pytestconfig.rootpath / "experiments").glob("*.yaml"):
        assert load_experiment(path).cells(path.stem)
    assert config.evaluation.ece_bins == 15


def test_configurable_scores_are_the_scores_of_logits():
    configurable = Config.model_json_schema()["properties"]["scores"]["items"]["enum"]

    assert set(configurable) == set(available_scores("logits"))


@pytest.mark.parametrize(("kind", "file"), [(Config, "config"), (Experiment | LogitsExperiment, "experiment")])
def test_published_schemas_are_those_of_the_code(pytestconfig, kind, file):
    path = pytestconfig.rootpath / "workflow" / "schemas" / f"{file}.schema.yaml"

    assert yaml.safe_load(path.read_text()) == TypeAdapter(kind).json_schema()


LOGITS = {
    "description": "Logits from elsewhere.",
    "logits": "dumps/{loss}{alpha}-{seed}-{split}.npz",
    "losses": {"ce": None, "ls": {"alpha": [0.2]}},
    "seeds": [0, 1],
}


def test_logits_from_elsewhere_are_a_grid_of_files(write):
    experiment = load_experiment(write(LOGITS))
    cells = experiment.cells("test")

    assert [experiment.path(cell, "val") for cell in cells] == [
        "dumps/ce0-0-val.npz",
        "dumps/ce0-1-val.npz",
        "dumps/ls0.2-0-val.npz",
        "dumps/ls0.2-1-val.npz",
    ]
    assert cells[0].folder == "results/cells/test/imported/ce_alpha-0/seed-0"
    assert experiment.splits == ["val", "test"] and not experiment.embedded


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": "dumps/{loss}-{split}.npz"}, "logits must name 8 different files, .* names 4"),
        ({"logits": "dumps/{loss.x}-{split}.npz"}, "logits may contain {split}, {loss}, {alpha} and {seed} only"),
        ({"logits": "dumps/{model}-{split}.npz"}, "logits may contain {split}, {loss}, {alpha} and {seed} only"),
        ({"recipe": {}}, "unknown key 'recipe'"),
    ],
)
def test_mistakes_in_logits_paths_are_named(write, change, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(write(LOGITS | change))


@pytest.mark.parametrize("file", ["config", "experiment"])
def test_every_key_of_the_schemas_is_described(pytestconfig, file):
    schema = yaml.safe_load((pytestconfig.rootpath / "workflow" / "schemas" / f"{file}.schema.yaml").read_text())
    tables = [schema, *schema.get("$defs", {}).values()]

    missing = [
        f"{table.get('title')}.{key}"
        for table in tables
        for key, value in table.get("properties", {}).items()
        if "description" not in value
    ]

    assert missing == []


def released(**changes):
    deviations = [
        {"what": "Less noise.", "why": "It was noisy.", "as_released": {"dataset": {"noise": 0.5}}},
        {"what": "Three seeds.", "why": "There was one."},
    ]
    return EXPERIMENT | {"deviations": deviations} | changes


def test_released_values_are_laid_over_the_file_on_request(write):
    ours = load_experiment(write(released()))
    theirs = load_experiment(write(released(as_released=True)))

    assert (ours.dataset_id, theirs.dataset_id) == ("glyphs", "glyphs_noise-0.5")
    assert ours.recipe == theirs.recipe and ours.architectures == theirs.architectures
    assert [entry.as_released is not None for entry in theirs.deviations] == [True, False]


def test_a_released_value_is_checked_like_any_other(write):
    wrong = [{"what": "x", "why": "y", "as_released": {"dataset": {"noise": -1}}}]
    for switch in (False, True):  # a fault shows before somebody switches
        with pytest.raises(ConfigError, match="as released: dataset.noise: must be greater than or equal to 0"):
            load_experiment(write(released(deviations=wrong, as_released=switch)))


@pytest.mark.parametrize("value", ["yes", "true", 1])
def test_a_switch_is_true_or_false_and_nothing_like_it(write, value):
    with pytest.raises(ConfigError, match="as_released: must be a valid boolean"):
        load_experiment(write(released(as_released=value)))


def test_every_shipped_experiment_can_be_run_as_released(pytestconfig, write):
    switched = 0
    for path in (pytestconfig.rootpath / "experiments").glob("*.yaml"):
        data = yaml.safe_load(path.read_text())
        theirs = load_experiment(write(data | {"as_released": True}))
        ours = load_experiment(path)
        keys = [key for entry in ours.deviations if entry.as_released for key in entry.as_released]
        changed = theirs.dataset != ours.dataset or theirs.architectures != ours.architectures
        assert changed == bool(keys)
        switched += changed
    assert switched >= 5


PUBLISHED = {"loss": "ls", "alpha": 0.3, "error": 10, "aurc": 2, "source": "print"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "focal"}, "published: there is no loss 'focal' with alpha 0.3"),
        ({"alpha": 0.2}, "published: there is no loss 'ls' with alpha 0.2"),
        ({"error": 101}, "published.0.error: must be less than or equal to 100, got 101"),
        ({"score": "magic"}, "published.0.score: must be 'msp'"),
    ],
)
def test_published_results_must_be_of_cells_of_the_experiment(write, change, message):
    load_experiment(write(EXPERIMENT | {"published": [PUBLISHED]}))
    with pytest.raises(ConfigError, match=message):
        load_experiment(write(EXPERIMENT | {"published": [PUBLISHED | change]}))


@pytest.mark.parametrize(
    ("dataset", "augmentation", "message"),
    [
        (
            "glyphs",
            {"resized_crop": True},
            "augmentation resized_crop is for image files, dataset 'glyphs' holds images",
        ),
        (
            "imagenet",
            {"crop_padding": 4},
            "augmentation crop_padding is for images in memory, dataset 'imagenet' holds",
        ),
        ("online_shoppers", {"flip": True}, "augmentation needs images, dataset 'online_shoppers' holds vectors"),
    ],
)
def test_augmentation_must_fit_the_data(write, dataset, augmentation, message):
    architecture = {"mlp": {}} if dataset == "online_shoppers" else {"cifar_resnet": {}}
    data = changed("recipe.augmentation", augmentation) | {
        "dataset": {"kind": dataset},
        "architectures": architecture,
    }
    with pytest.raises(ConfigError, match=message):
        load_experiment(write(data))


@pytest.mark.parametrize(
    ("downloads", "message"),
    [
        ({"checksums": {"a.zip": "abc"}}, "downloads.checksums.a.zip: must match pattern"),
        ({"folders": {"imagnet": "x"}}, "downloads: folders: there is no 'imagnet'; did you mean 'imagenet'?"),
        ({"checksums": {"a.zip": "md5:" + 32 * "0"}}, "downloads: checksums: there is no 'a.zip'"),
        ({"mirrors": {"": "http://127.0.0.1/"}}, "mirrors: the beginning of a URL must not be empty"),
        ({"mirror": {}}, "unknown key 'downloads.mirror'; did you mean 'mirrors'"),
    ],
)
def test_mistakes_in_downloads_are_named(pytestconfig, downloads, message):
    data = yaml.safe_load((pytestconfig.rootpath / "config.yaml").read_text())
    with pytest.raises(ConfigError, match=message):
        parse_config(data | {"downloads": downloads})


def scenes(**changes):
    small = {"dataset": {"kind": "glyph_scenes"}, "architectures": {"unet": {}}}
    return EXPERIMENT | small | changes


def test_scenes_are_dense_and_images_are_not(write):
    assert load_experiment(write(scenes(pixels={"per_scene": 7}))).pixels.per_scene == 7
    assert load_experiment(write(scenes())).dense and not load_experiment(write(EXPERIMENT)).dense


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (EXPERIMENT | {"pixels": {"seed": 1}}, "pixels needs scenes, dataset 'glyphs' holds images"),
        (scenes(dataset={"kind": "glyphs"}), "architecture 'unet' takes scenes, dataset 'glyphs' holds images"),
        (scenes(pixels={"maps": []}), "maps"),
        (scenes(pixels={"maps": [-1]}), "maps"),
    ],
)
def test_pixels_and_scenes_belong_together(write, data, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(write(data))
