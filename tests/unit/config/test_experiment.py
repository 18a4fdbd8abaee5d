import copy
import re
from functools import cache, partial
from pathlib import Path

import jsonschema
import pytest
import yaml

from unsmooth.config.cells import format_number
from unsmooth.config.errors import ConfigError
from unsmooth.config.kinds import WeightsExperiment
from unsmooth.config.loading import load_config, load_experiment, parse_config
from unsmooth.config.schemas import SCHEMAS, schema
from unsmooth.config.settings import Config
from unsmooth.config.specs.architectures import TorchvisionSpec
from unsmooth.config.specs.datasets import Cifar10
from unsmooth.config.specs.recipes import Augmentation, Recipe, SceneCrop
from unsmooth.runtime.provenance import canonical_json
from unsmooth.scores import available_scores

FILES = sorted(Path(__file__).parents[3].joinpath("experiments").glob("*.yaml"))
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


@pytest.mark.parametrize("label", ["LS", r"LS, $\alpha$", "LS for $5", r"LS for \$5 or \$6", "$5 and $6"])
def test_label_with_mathematics_or_dollars_is_kept(write, label):
    assert load_experiment(write(changed("losses.ls.label", label))).losses["ls"].label == label


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("recipe.epoch", 3, "unknown key 'recipe.epoch'; did you mean 'epochs'?"),
        ("losses.ls.alpha", [0.1, 1.0], r"losses.ls.alpha.1: must be less than 1, got 1.0"),
        ("losses.ls.alpha", [-1.2], r"losses.ls.alpha.0: must be greater than or equal to -1, got -1.2"),
        ("losses.ls.alpha", [float("nan")], "losses.ls.alpha.0: must be"),
        ("losses.ls.alpha", [], "losses.ls.alpha: must not be empty"),
        ("losses.ls.alpha", [0.1, 0.10], r"alphas of loss 'ls' must differ"),
        (
            "losses.other",
            {"kind": "ls", "alpha": [0.5, 0.3]},
            "losses 'ls' and 'other' share the label 'LS' with alpha 0.3",
        ),
        ("losses.ls.label", "$\\foo$", r"losses.ls.label: has mathematics between \$ signs that cannot be drawn"),
        ("losses.ls", None, "key 'losses.ls.alpha' is missing"),
        ("losses.ce", {"alpha": [0.1]}, "unknown key 'losses.ce.alpha'; 'alpha' is a key of other parts"),
        ("dataset", {"num_train": 50}, "key 'dataset.kind' is missing"),
        ("recipe.optimizer", {"kind": "sgd", "lr": 1, "momentum": 0, "nesterov": True}, "nesterov needs a momentum"),
        ("losses.hinge", None, "losses.hinge: unknown kind 'hinge', expected one of 'ce', 'ls'"),
        ("losses.LS", {"kind": "ls", "alpha": [0.1]}, "losses"),
        ("losses", {}, "losses: must not be empty"),
        ("losses", [1], r"losses: must be a mapping of keys to values, got \[1\]"),
        ("losses.ls", 0.1, "losses.ls: must be a mapping of keys to values, got 0.1"),
        ("weights", "own/{loss}-{alpha}.pt", "weights takes the place of recipe: remove one or the other"),
        ("logits", "{split}.npz", "logits takes the place of dataset and architectures and recipe: remove one or"),
        ("seeds", [], "seeds: must not be empty"),
        ("seeds", [1, 1], r"seeds must differ, got \[1, 1\]"),
        ("seeds", [-1], "seeds.0: must be greater than or equal to 0"),
        ("without", ["ls_alpha-0.7/seed-1"], "without: there is no cell 'ls_alpha-0.7/seed-1'; did you mean 'ls_alpha"),
        (
            "without",
            ["nls_alpha--0.2/seed-0", "nls_alpha--0.2/seed-1"],
            "without: no cell of loss 'nls' is left; remove the loss",
        ),
        ("architectures", {}, "architectures: must not be empty"),
        ("architectures", {"mlp": {}}, "architecture 'mlp' takes vectors, dataset 'glyphs' holds images"),
        ("dataset", {"kind": "cifar11"}, "dataset: unknown kind 'cifar11'"),
        ("dataset.num_train", 0, "dataset.num_train: must be greater than or equal to 1, got 0"),
        ("recipe.optimizer.lr", float("inf"), "recipe.optimizer.lr: must be a finite number"),
        ("recipe.optimizer.lr", "fast", "recipe.optimizer.lr: must be a valid number"),
        ("recipe.mixup", {}, "key 'recipe.mixup.alpha' is missing"),
        ("recipe.mixup", {"alpha": 0}, "recipe.mixup.alpha: must be greater than or equal to 0.01, got 0"),
        ("recipe.cutmix", {"probability": 0}, "recipe.cutmix.probability: must be greater than 0, got 0"),
        ("losses.kd", {"kind": "distillation", "alpha": [0.9]}, "key 'losses.kd.teacher' is missing"),
        ("recipe.warmup", {}, "recipe.warmup: give the length either in epochs or in steps"),
        ("recipe.warmup", {"epochs": 2}, "warmup must be shorter than the 2 epochs, got 2"),
        ("recipe.warmup", {"steps": 1000}, "warmup must be shorter than the 1000 steps, got 1000"),
        (
            "recipe.schedule",
            {"kind": "multistep", "milestones": [1, 2]},
            "milestones must lie before the 2 epochs' end",
        ),
        ("architectures.resnet8.depth", 10, "architectures.resnet8.depth: must be 6n \\+ 2"),
        (
            "architectures.resnet8",
            {"kind": "torchvision", "name": "resnet50", "pretrained": "cifar10"},
            "architectures.resnet8.pretrained: there are no pretrained weights 'cifar10', expected one of resnet50_",
        ),
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


@pytest.mark.parametrize(("key", "value"), [("seeds", [True]), ("recipe", EXPERIMENT["recipe"] | {"epochs": True})])
def test_truth_value_is_no_number(write, key, value):
    with pytest.raises(ConfigError, match=rf"test.yaml: {key}.*must be a number, got .*True"):
        load_experiment(write(yaml.safe_dump(EXPERIMENT | {key: value})))


@pytest.mark.parametrize(
    ("text", "read_as"), [("epochs: 1:30", 90), ("epochs: 010", 8), ("seeds: [0, 1:30]", 90), ("lr: 1:30.5", 90.5)]
)
def test_number_that_yaml_reads_in_another_base_is_named_with_its_key(write, text, read_as):
    key, number = text.split(": ")
    with pytest.raises(ConfigError, match=rf"test\.yaml, line 3 .*{key}: \S+ would be read as {read_as}; expected a"):
        load_experiment(write(f"description: x\nrecipe:\n  {text}\n"))


def test_key_given_twice_is_named_with_its_file(tmp_path, write):
    experiment = write(yaml.safe_dump(EXPERIMENT) + "seeds: [2]\n")
    with pytest.raises(ConfigError, match=r"test\.yaml, line \d+ .*the key 'seeds' occurs twice"):
        load_experiment(experiment)
    config = tmp_path / "config.yaml"
    config.write_text("evaluation:\n  ece_bins: 15\n  ece_bins: 20\n")
    with pytest.raises(ConfigError, match=r"config\.yaml, line 3 .*the key 'ece_bins' occurs twice"):
        load_config([config])


def test_merge_keys_of_yaml_take_over_an_anchored_mapping_and_may_be_overridden(write):
    loss = "ls: &ls {alpha: [0.1, 0.3]}"
    shared = "  one: &one {<<: *ls, kind: ls, label: One}\n  two: {<<: *one, alpha: [0.2], label: Two}\n"
    text = yaml.safe_dump(EXPERIMENT | {"losses": {"ce": None}}).replace("losses:\n", f"losses:\n  {loss}\n{shared}")
    losses = load_experiment(write(text)).losses

    assert [(losses[name].kind, losses[name].alphas) for name in ("ls", "one", "two")] == [
        ("ls", [0.1, 0.3]),
        ("ls", [0.1, 0.3]),
        ("ls", [0.2]),
    ]


@pytest.mark.parametrize(("key", "read_as"), [("no", "False"), ("1", "1"), ("~", "None"), ("1_0", "10")])
def test_key_that_yaml_does_not_read_as_text_is_named_with_its_line(write, key, read_as):
    with pytest.raises(ConfigError, match=rf"line 3 .*the key {key} would be read as {read_as}; expected text, as"):
        load_experiment(write(f"description: x\nlosses:\n  {key}: {{kind: ce}}\n"))


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


def test_operating_point_of_tables_and_figures_is_required():
    settings = {"experiments": ["glyphs"], "scores": ["msp", "max_logit_pnorm"]}
    with pytest.raises(ConfigError, match=r"evaluation: risk_at_coverage must contain 0\.2, which tables and figures"):
        parse_config(settings | {"evaluation": {"risk_at_coverage": [0.5]}})


def test_configurable_scores_are_the_scores_of_logits():
    configurable = Config.model_json_schema()["properties"]["scores"]["items"]["enum"]

    assert set(configurable) == set(available_scores("logits"))


def validate(content, path):
    """Check content by the schema that the first line of a file names to editors."""
    first = path.read_text().splitlines()[0]
    validator((path.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve()).validate(content)


@cache
def validator(path):
    content = yaml.safe_load(path.read_text())
    kind = jsonschema.validators.validator_for(content)
    kind.check_schema(content)
    return kind(content)


@pytest.mark.parametrize("name", SCHEMAS)
def test_published_schemas_are_those_of_the_code(pytestconfig, name):
    path = pytestconfig.rootpath / "workflow" / "schemas" / f"{name}.schema.yaml"

    assert yaml.safe_load(path.read_text()) == schema(name)


@pytest.mark.parametrize("name", ["config.yaml", *(f"experiments/{path.name}" for path in FILES)])
def test_editors_find_the_schema_of_every_file_and_no_fault_in_it(pytestconfig, name):
    path = pytestconfig.rootpath / name

    validate(yaml.safe_load(path.read_text()), path)


@pytest.mark.parametrize("losses", [{"ls": {"alpha": [2]}}, {"soft": {"alpha": [0.1]}}, {"ls": {"alhpa": [0.1]}}])
def test_editors_find_faults_by_the_schema(pytestconfig, losses):
    path = pytestconfig.rootpath / "experiments" / "gaussians_mlp.yaml"

    with pytest.raises(jsonschema.ValidationError):
        validate(yaml.safe_load(path.read_text()) | {"losses": losses}, path)


def test_schemas_have_no_generated_titles():
    assert not any(re.search(r"'title': '", str(schema(name))) for name in SCHEMAS)


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
        ({"recipe": {}}, "logits takes the place of recipe: remove one or the other"),
    ],
)
def test_mistakes_in_logits_paths_are_named(write, change, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(write(LOGITS | change))


WEIGHTS = {key: value for key, value in EXPERIMENT.items() if key != "recipe"} | {
    "weights": "models/{loss}-{alpha}-{seed}.ckpt"
}


def test_weights_from_elsewhere_are_a_grid_of_files(write):
    experiment = load_experiment(write(WEIGHTS | {"losses": {"ce": None, "ls": {"alpha": [0.2]}}, "seeds": [0]}))
    cells = experiment.cells("test")

    assert [experiment.source(cell) for cell in cells] == ["models/ce-0-0.ckpt", "models/ls-0.2-0.ckpt"]
    assert cells[1].folder == "results/cells/test/resnet8/ls_alpha-0.2/seed-0"


def test_weights_without_a_common_pattern_are_named_by_loss(write):
    hub = "hf://ENSTA-U2IS/Label-smoothing-Selective-classification/classification"
    weights = {"ce": f"{hub}/CE.ckpt", "ls": f"{hub}/LS_{{alpha}}.ckpt"}
    data = WEIGHTS | {"losses": {"ce": None, "ls": {"alpha": [0.1, 0.2]}}, "seeds": [0], "weights": weights}
    experiment = load_experiment(write(data))

    assert [experiment.source(cell) for cell in experiment.cells("test")] == [
        f"{hub}/CE.ckpt",
        f"{hub}/LS_0.1.ckpt",
        f"{hub}/LS_0.2.ckpt",
    ]


@pytest.mark.parametrize("as_released", [False, True])
@pytest.mark.parametrize(
    "name",
    ["cifar10_resnet20", "cifar100_densenet", "imagenet_resnet50", "imagenet_vit_s16", "imdb_lstm"]
    + ["cityscapes_deeplabv3plus"],
)
def test_released_experiments_take_weights_in_the_place_of_their_recipe(pytestconfig, write, name, as_released):
    data = yaml.safe_load((pytestconfig.rootpath / "experiments" / f"{name}.yaml").read_text())
    del data["recipe"]
    data |= {"weights": "released/{loss}-{alpha}-{seed}.ckpt", "as_released": as_released}

    experiment = load_experiment(write(data))

    assert isinstance(experiment, WeightsExperiment) and experiment.as_released == as_released


def test_a_zoo_has_one_cell_a_model(pytestconfig):
    experiment = load_experiment(pytestconfig.rootpath / "experiments" / "zoo.yaml")
    cells = experiment.cells("zoo")

    assert experiment.is_zoo and sorted(cell.architecture for cell in cells) == sorted(experiment.architectures)
    assert experiment.source(cells[0]) == "hf://timm/resnet18.tv_in1k/model.safetensors"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trained_with": {"ce": ["resnet8"]}}, "trained_with must name every loss, and every architecture once"),
        (
            {"architectures": {"a": {"kind": "timm", "name": "resnet18.tv_in1k", "preprocessing": "timm"}}},
            "architecture 'a' prepares image files, dataset 'glyphs' has none",
        ),
        ({"weights": "models/{loss}.ckpt", "seeds": [0, 1]}, r"weights must name \d+ different files, .* names"),
        ({"weights": "models/{split}.ckpt"}, "weights may contain {architecture}, {name}, {loss}, {alpha} and {seed}"),
        ({"weights": "models/{name}.ckpt"}, r"and {name} where the architecture has one"),
        ({"weights": {"ce": "a.ckpt"}}, "weights must be of the losses ce, .*, got ce"),
        ({"weights": "hf://{loss}{alpha}{seed}.ckpt"}, "expected hf://owner/repository/path"),
        ({"recipe": {}}, "weights takes the place of recipe: remove one or the other"),
    ],
)
def test_mistakes_in_weights_are_named(write, change, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(write(WEIGHTS | change))


@pytest.mark.parametrize("file", ["file", "models/../c", "models/c?x=1", "models/", "models@/c"])
def test_malformed_file_of_the_hub_is_refused(write, file):
    with pytest.raises(ConfigError, match=r"expected hf://owner/repository/path .* got 'hf://owner/"):
        load_experiment(write(WEIGHTS | {"losses": {"ce": None}, "seeds": [0], "weights": f"hf://owner/{file}"}))


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
        ({"error": None, "aurc": None}, "published.0: needs a number: accuracy, adaptive_ece_mbls, aurc"),
        ({"score": "max_logit_pnorm", "ece": 3.0}, "max_logit_pnorm is no probability: only error and aurc"),
    ],
)
def test_published_results_must_be_of_cells_of_the_experiment(write, change, message):
    load_experiment(write(EXPERIMENT | {"published": [PUBLISHED]}))
    with pytest.raises(ConfigError, match=message):
        load_experiment(write(EXPERIMENT | {"published": [PUBLISHED | change]}))


SHIFT = {"contrast": 0.3, "brightness": 0.3, "hue": 40.0, "saturation": 30.0, "value": 20.0}


def test_options_newer_than_results_are_told_to_jobs_only_where_they_are_set():
    for spec, option, value in (
        (Cifar10, "shuffle", "numpy"),
        (Augmentation, "random_crop", True),
        (partial(TorchvisionSpec, name="resnet18"), "dropout", 0.5),
        (partial(SceneCrop, size=512), "longest", 640),
        (partial(SceneCrop, size=512), "shift", SHIFT),
    ):
        assert option not in spec().model_dump() and spec(**{option: value}).model_dump()[option] == value


def test_dataset_is_named_after_options_that_jobs_are_told_of_only_where_they_are_set(write):
    data = EXPERIMENT | {"dataset": {"kind": "cifar10"}}
    numpy = EXPERIMENT | {"dataset": {"kind": "cifar10", "shuffle": "numpy"}}

    assert load_experiment(write(data)).dataset_id == "cifar10"
    assert load_experiment(write(numpy)).dataset_id == "cifar10_shuffle-numpy"


@pytest.mark.parametrize(
    ("dataset", "augmentation", "message"),
    [
        (
            "glyphs",
            {"resized_crop": True},
            "augmentation resized_crop is for image files, dataset 'glyphs' holds images",
        ),
        (
            "glyphs",
            {"random_crop": True},
            "augmentation random_crop is for image files, dataset 'glyphs' holds images",
        ),
        (
            "imagenet",
            {"resized_crop": True, "random_crop": True},
            "an image is cropped once: set either resized_crop or random_crop",
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


def distilled(**losses):
    losses = {
        name: {"kind": "distillation", "label": name, "alpha": [0.9]} | options for name, options in losses.items()
    }
    architectures = EXPERIMENT["architectures"] | {"resnet14": {"kind": "cifar_resnet", "depth": 14}}
    return EXPERIMENT | {"losses": EXPERIMENT["losses"] | losses, "architectures": architectures}


def test_teacher_is_the_cell_of_the_same_seed_and_architecture_unless_told(write):
    experiment = load_experiment(
        write(
            distilled(
                kd={"teacher": "ls", "teacher_alpha": 0.3},
                small={"teacher": "ce", "teacher_architecture": "resnet14"},
                again={"teacher": "kd", "alpha": [0.5, 0.9]},
            )
        )
    )
    cells = {cell.folder.removeprefix("results/cells/t/"): cell for cell in experiment.cells("t")}
    teachers = {
        folder: teacher.folder.removeprefix("results/cells/t/")
        for folder, cell in cells.items()
        if cell.seed == 1 and cell.architecture == "resnet8" and (teacher := experiment.teacher(cell)) is not None
    }

    assert teachers == {
        "resnet8/kd_alpha-0.9/seed-1": "resnet8/ls_alpha-0.3/seed-1",
        "resnet8/small_alpha-0.9/seed-1": "resnet14/ce_alpha-0/seed-1",
        "resnet8/again_alpha-0.5/seed-1": "resnet8/kd_alpha-0.9/seed-1",
        "resnet8/again_alpha-0.9/seed-1": "resnet8/kd_alpha-0.9/seed-1",
    }
    training = experiment.training(cells["resnet8/again_alpha-0.5/seed-1"])
    assert training["loss"] == {"kind": "distillation", "alpha": 0.5, "temperature": 4.0}
    assert training["teacher"] == experiment.training(cells["resnet8/kd_alpha-0.9/seed-1"])
    assert training["teacher"]["teacher"]["loss"] == {"kind": "ls", "alpha": 0.3}
    assert "teacher" not in experiment.training(cells["resnet8/ce_alpha-0/seed-1"])


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"kd": {"teacher": "nsl"}}, "losses.kd: there is no loss 'nsl' of a teacher; did you mean 'nls'?"),
        (
            {"kd": {"teacher": "ls"}},
            r"losses.kd: teacher_alpha must be one of \[0.1, 0.3\], those of loss 'ls', got None",
        ),
        ({"kd": {"teacher": "ls", "teacher_alpha": 0.2}}, r"must be one of \[0.1, 0.3\], those of loss 'ls', got 0.2"),
        ({"kd": {"teacher": "ce", "teacher_alpha": 0.1}}, r"must be one of \[0.0\], those of loss 'ce', got 0.1"),
        (
            {"kd": {"teacher": "ce", "teacher_architecture": "resnet15"}},
            "losses.kd: there is no architecture 'resnet15' of a teacher; did you mean 'resnet14'?",
        ),
        ({"kd": {"teacher": "kd"}}, "losses.kd: teachers form a cycle: kd from kd"),
        (
            {"a": {"teacher": "b"}, "b": {"teacher": "c"}, "c": {"teacher": "b"}},
            "losses.a: teachers form a cycle: a from b from c from b",
        ),
    ],
)
def test_teachers_that_are_no_cells_are_named(write, losses, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(write(distilled(**losses)))


@pytest.mark.parametrize("method", [{"mixup": {"alpha": 0.2}}, {"cutmix": {}}])
@pytest.mark.parametrize(
    ("losses", "refused"),
    [
        ({"ce": None, "ls": {"alpha": [0.1]}, "brier": None, "focal": {"alpha": [3]}, "flsd": {"alpha": [3]}}, None),
        ({"ce": None, "kd": {"kind": "distillation", "alpha": [0.9], "teacher": "ce"}}, None),
        ({"ce": None, "mmce": {"alpha": [2]}}, "mmce"),
        ({"mmce_weighted": {"alpha": [2]}}, "mmce_weighted"),
        ({"smooth": {"kind": "online_ls", "alpha": [0.5]}}, "smooth"),
    ],
)
def test_samples_are_mixed_for_losses_that_take_distributions(write, method, losses, refused):
    data = changed("recipe", EXPERIMENT["recipe"] | method) | {"losses": losses}
    if refused is None:
        load_experiment(write(data))
        return
    with pytest.raises(ConfigError, match=f"loss '{refused}' is for samples of one class: remove it, or mixup and"):
        load_experiment(write(data))


@pytest.mark.parametrize(
    ("dataset", "architecture", "method", "fits"),
    [
        ("gaussians", "mlp", "mixup", True),
        ("gaussians", "mlp", "cutmix", False),
        ("markov_text", "lstm", "mixup", False),
        ("markov_text", "lstm", "cutmix", False),
    ],
)
def test_mixing_must_fit_the_data(write, dataset, architecture, method, fits):
    data = changed(f"recipe.{method}", {"alpha": 1.0}) | {
        "dataset": {"kind": dataset},
        "architectures": {architecture: {}},
    }
    if fits:
        load_experiment(write(data))
        return
    with pytest.raises(ConfigError, match=f"mixup needs images or vectors, cutmix images; dataset '{dataset}' holds"):
        load_experiment(write(data))


def test_shards_of_a_single_sample_cannot_be_mixed(write):
    recipe = EXPERIMENT["recipe"] | {"shards": 6, "mixup": {"alpha": 0.2}}
    with pytest.raises(ConfigError, match="a batch of 10 in 6 shards leaves none to pair"):
        load_experiment(write(changed("recipe", recipe)))


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
        (scenes(pixels={"maps": [0, 9999]}), r"maps must be below the \d+ test scenes, got \[0, 9999\]"),
        (scenes(losses={"ce": None, "mmce": {"alpha": [2]}}), "loss 'mmce' compares samples in pairs"),
    ],
)
def test_pixels_and_scenes_belong_together(write, data, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(write(data))
