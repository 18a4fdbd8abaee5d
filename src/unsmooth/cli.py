"""The command line: `unsmooth diagnose`, `score`, `metrics`, `init` and `verify`.

Exit status 0 is success, 1 bad input with one line on standard error that names the file and what was expected, 2 wrong
usage. Results go to standard output, progress and errors to standard error.
"""

import json
import math
import re
import shlex
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unsmooth.atomic_files import atomic_path
from unsmooth.extras import MissingExtraError, named_extras

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unsmooth.diagnosis.diagnose import Diagnosis, Progress
    from unsmooth.logits.logits_file import LogitsFile
    from unsmooth.logits.probabilities import Converted

COLUMN_SUFFIXES = (".csv", ".npz", ".parquet")
Paths = list[Path] | None
FORMATS = "safetensors, npz, npy, pt, parquet (also a folder of parts), csv or tsv"
app = typer.Typer(
    name="unsmooth",
    epilog="A file for a start: `np.savez('test.npz', logits=logits, targets=targets)`, then "
    "`unsmooth diagnose test.npz`",
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LogitsKey = Annotated[
    str | None,
    typer.Option("--logits-key", help="Name of the logits in FILE and --val; of a table's classes: class_* or a,b,c."),
]
TargetsKey = Annotated[str | None, typer.Option("--targets-key", help="Name of the targets in FILE and --val.")]
TRAIN = "Training logits, targets and `features`, on which scores of features are fitted"
Seed = Annotated[int, typer.Option(help="Seed of the random splits and the bootstrap.", min=0)]
Fraction = {"min": 0.0, "max": 1.0}
RISKS, COVERAGES = [0.01, 0.05], [0.1, 0.2, 0.5, 0.8]


def _version(wanted: bool) -> None:
    if wanted:
        from unsmooth import __version__

        typer.echo(f"unsmooth {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")] = False,
) -> None:
    """Find, explain and repair the confidence that label smoothing breaks."""


@app.command(epilog="Example: `unsmooth diagnose test.npz --val val.npz --html report.html --save classifier.json`")
def diagnose(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help=f"Logits and targets: {FORMATS}.")],
    val: Annotated[
        Paths,
        typer.Option(help="Validation logits that fit and certify, one per FILE. Default: half of FILE, by seed."),
    ] = None,
    targets: Annotated[Paths, typer.Option(help="Targets in a file of their own (an npy pair), one per FILE.")] = None,
    val_targets: Annotated[Paths, typer.Option(help="Targets of --val in a file of their own, one per FILE.")] = None,
    train: Annotated[Paths, typer.Option(help=f"{TRAIN}, one per FILE.")] = None,
    target_risk: Annotated[float, typer.Option(help="Error rate allowed among accepted samples, in (0, 1).")] = 0.05,
    delta: Annotated[float, typer.Option(help="Probability that the certified threshold misses it, in (0, 1).")] = 0.05,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write all numbers here; - for stdout.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained interactive page.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the repaired SelectiveClassifier as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the risk-coverage plot: png, pdf or svg.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--score", help="Compare only this score with MSP; repeatable. Default: every score."),
    ] = None,
    seed: Seed = 0,
    replicates: Annotated[int, typer.Option(help="Bootstrap resamples of every interval.", min=1)] = 1000,
    logits_key: LogitsKey = None,
    targets_key: TargetsKey = None,
) -> None:
    """Diagnose a classifier's confidence: whether it is broken, which score repairs it, and a certified threshold.

    Each FILE holds logits of samples that did not train the classifier, and their true classes; softmax outputs with
    all digits also work. Three disjoint parts of the data fit and choose the score, certify the threshold, and test.
    With --val, all of FILE is test data. Scores of features are compared too if an archive FILE also holds `features`
    of the last hidden layer, and `weight` and `bias` of the layer behind it.

    Reported: a verdict in one line; error and AURC (area under the risk-coverage curve, lower is better); whether FILE
    and --val come from one population; whether the logits bear the signature of label smoothing; every score's AURC
    before and after fitting, its change against MSP with a paired 95 % interval and a p-value after Holm's correction;
    coverage at the target risk; a threshold whose true risk is at most the target with probability 1 - delta, or
    "infeasible"; and the next step.
    """
    from unsmooth.diagnosis.diagnose import diagnose as run
    from unsmooth.diagnosis.terminal import print_comparison, print_diagnosis, progress_bar
    from unsmooth.logits.names import base_name
    from unsmooth.scores import NLL_TEMPERATURE, SCORES

    paired = {"--val": val, "--train": train, "--targets": targets, "--val-targets": val_targets}
    for option, others in paired.items():
        wrong = others and len(others) != len(files)
        _refuse(wrong, option, f"{len(others or ())} given for {len(files)} FILE; give none or one each")
    _refuse(val_targets and not val, "--val-targets", "needs --val")
    for option, value in (("--target-risk", target_risk), ("--delta", delta)):
        _refuse(not 0 < value < 1, option, f"{value} is not in (0, 1)")
    for wanted in only or ():
        unknown = wanted not in (*SCORES, NLL_TEMPERATURE)
        _refuse(unknown, "--score", f"unknown score {wanted!r}; see unsmooth score --list")
    _refuse(save and len(files) > 1, "--save", "one classifier is saved at a time; give one FILE")
    drawn = plot is None or plot.suffix.lower() in (".png", ".pdf", ".svg")
    _refuse(not drawn, "--plot", f"{plot} must end in .png, .pdf or .svg")
    written = {"--json": json_out, "--html": html, "--save": save, "--plot": plot}
    _check_outputs([*files, *(path for others in paired.values() for path in others or ())], written)
    for path in files if len(files) > 1 and not val else ():
        if base_name(path.stem)[1] == "val":
            _note(f"{path}: is diagnosed as a classifier of its own; validation samples belong to --val")
    keys, results = (logits_key, targets_key), list["Diagnosis"]()
    for position, (path, name) in enumerate(zip(files, _names(files), strict=True)):
        with _errors_name(path):
            val_path = val[position] if val else None
            file, test = _read(path, targets[position] if targets else None, keys, at_least=1 if val_path else 4)
            if val_path is None and file.has_validation and logits_key is None and not targets:
                val_path = path
                _note(f"{path}: its validation split fits and certifies")
            held = converted = None
            if val_path is not None:
                beside = val_targets[position] if val_targets else None
                held, converted = _read(val_path, beside, keys, num_classes=file.num_classes, split="val", at_least=2)
                _check_disjoint(path, test.logits, val_path, converted.logits)
            with progress_bar(name) as progress:
                result = run(
                    test.logits,
                    file.targets,
                    val_logits=None if converted is None else converted.logits,
                    val_targets=None if held is None else held.targets,
                    layer=file.load_layer(),
                    train=_read_training(train[position], keys, file.num_classes) if train else None,
                    name=name,
                    from_probabilities=test.from_probabilities or bool(converted and converted.from_probabilities),
                    only_msp=test.only_msp or bool(converted and converted.only_msp),
                    target_risk=target_risk,
                    delta=delta,
                    scores=only,
                    seed=seed,
                    replicates=replicates,
                    progress=progress,
                )
        results.append(result)
        if json_out != Path("-"):
            print_diagnosis(result)
    if len(results) > 1 and json_out != Path("-"):
        print_comparison(results)
    _write_reports(results, json_out=json_out, html=html, save=save, plot=plot)


@app.command(epilog="Example: `unsmooth score test.npz --score max_logit_pnorm --p 5 | unsmooth metrics -`")
def score(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=f"Logits and targets: {FORMATS}.")],
    score_name: Annotated[str, typer.Option("--score", help="Name of the score; see --list.")] = "max_logit_pnorm",
    p: Annotated[str | None, typer.Option(help="Norm order of the p-norm scores: a number or inf.")] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="Any other parameter, as name=value: temperature=1.5.")
    ] = None,
    val: Annotated[Path | None, typer.Option(help="Validation logits that fit the parameters by AURC.")] = None,
    val_targets: Annotated[Path | None, typer.Option(help="Targets of --val in a file of their own.")] = None,
    classifier: Annotated[
        Path | None, typer.Option(help="A SelectiveClassifier saved by diagnose; predictions are then -1 if rejected.")
    ] = None,
    train: Annotated[Path | None, typer.Option(help=f"{TRAIN}.")] = None,
    targets: Annotated[Path | None, typer.Option(help="Targets in a file of their own.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="csv, npz or parquet file; standard output otherwise.")
    ] = None,
    list_scores: Annotated[
        bool, typer.Option("--list", callback=lambda wanted: _list_scores(wanted), is_eager=True, help="List scores.")
    ] = False,
    logits_key: LogitsKey = None,
    targets_key: TargetsKey = None,
) -> None:
    """Write the confidence of every sample: columns confidence, prediction, target and error.

    Confidence is larger for more trusted predictions. Without --val and parameters a score takes its defaults; the
    p-norm's is p = 5, which gains as much on ImageNet as p tuned on a thousand samples. Scores of features read
    `features`, and `weight` and `bias` of the last layer, from an archive FILE, and --train.
    """
    import numpy as np

    from unsmooth.diagnosis.terminal import progress_bar
    from unsmooth.logits.checks import LogitsFileError
    from unsmooth.scores import FittedScore, find_score, fit_score, score_all, score_by_features
    from unsmooth.scores.feature_scores import TrainingSamplesError
    from unsmooth.scores.thresholds import REJECT

    unknown = output and output.suffix.lower() not in COLUMN_SUFFIXES
    _refuse(unknown, "--output", f"{output} must end in {', '.join(COLUMN_SUFFIXES)}")
    _check_outputs([file, val, targets, val_targets, classifier, train], {"--output": output})
    params = _parse_params(param or [], p)
    sources = sum(map(bool, (params, val, classifier)))
    _refuse(sources > 1, "--param", "parameters, --val and --classifier exclude each other")
    try:
        entry = find_score(score_name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--score") from None
    _refuse(sources and not entry.of_logits, "--score", f"{score_name} is fitted on --train alone")
    _refuse("training" in entry.needs and not train, "--score", f"{score_name} needs --train")
    _refuse(train and entry.of_logits, "--train", f"{score_name} is a score of logits alone")
    chosen = None
    if params:
        try:
            chosen = FittedScore(score_name, {**entry.defaults, **params})
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--param") from None
    _refuse(val_targets and not val, "--val-targets", "needs --val")

    threshold, num_classes, keys = -math.inf, None, (logits_key, targets_key)
    if classifier is not None:
        from unsmooth.classifier import SelectiveClassifier  # scikit-learn takes a second to start

        with _errors_name(classifier):
            saved = SelectiveClassifier.load(classifier)
        chosen, threshold, num_classes = saved.score_, saved.threshold_, saved.n_features_in_
    with _errors_name(file), progress_bar(file.name) as progress:
        read, test = _read(file, targets, keys, num_classes=num_classes)
        from_probabilities, only_msp = test.from_probabilities, test.only_msp
        if val is not None:
            held, converted = _read(val, val_targets, keys, num_classes=read.num_classes, split="val")
            _check_disjoint(file, test.logits, val, converted.logits)
            from_probabilities |= converted.from_probabilities
            only_msp |= converted.only_msp
            progress("fitting", 0, read.num_samples)
            with _errors_name(val):
                chosen = fit_score(score_name, converted.logits, held.targets)
            _note(f"{score_name}: {chosen.reason or chosen.params}")
        elif chosen is None and entry.of_logits:
            chosen = fit_score(score_name)
        name, fixed = (score_name, {}) if chosen is None else (chosen.name, chosen.params)
        if chosen is None or not chosen.fell_back:
            _check_softmax(name, fixed, from_probabilities=from_probabilities, only_msp=only_msp)
        if chosen is None:
            training = None if train is None else _read_training(train, keys, read.num_classes)
            try:
                confidence = score_by_features(score_name, {"logits": test.logits, **read.load_layer()}, training)
            except TrainingSamplesError as error:
                raise LogitsFileError(f"{train}: {error}") from None
            predictions = test.logits.argmax(axis=1)
        else:
            scored = score_all(_batches(test.logits, progress), scores={"confidence": chosen}, ps=())
            for reason in scored.left_out.values():
                raise ValueError(reason)
            confidence, predictions = scored["confidence"], scored.predictions
        columns = {
            "confidence": confidence,
            "prediction": np.where(confidence >= threshold, predictions, REJECT),
            "target": read.targets,
            "error": (predictions != read.targets).astype(np.int64),
        }
    with _errors_name(output or Path("standard output")):
        if output is None:
            _write_columns(columns, sys.stdout.buffer, ".csv")
        else:
            with atomic_path(output) as temporary:
                _write_columns(columns, temporary, output.suffix.lower())


@app.command(epilog="Example: `unsmooth metrics confidence.csv --risk 0.01 --risk 0.05 --json`")
def metrics(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="csv, npz or parquet; - for csv on standard input.")],
    risk: Annotated[list[float], typer.Option(help="Target risks of coverage_at_risk.", **Fraction)] = RISKS,
    coverage: Annotated[list[float], typer.Option(help="Coverages of risk_at_coverage.", **Fraction)] = COVERAGES,
    replicates: Annotated[int, typer.Option(help="Bootstrap resamples of the intervals; 0 for none.", min=0)] = 1000,
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Selective metrics of columns `confidence` and `error` (1 = wrong), with 95 % bootstrap intervals.

    All values are fractions. Lower is better for error, AURC and its kin and risks; higher for failure_auroc and
    coverages.
    """
    import numpy as np

    from unsmooth.diagnosis.terminal import print_table, progress_bar
    from unsmooth.metrics import UndefinedMetricWarning, bootstrap_replicates, selective_metrics

    _refuse(0 in coverage, "--coverage", "0 is not in (0, 1]")
    with _errors_name(file), progress_bar(file.name) as progress:
        confidence, errors = _read_confidences(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)  # undefined metrics show as nan
            values = selective_metrics(confidence, errors, risks=risk, coverages=coverage)
            resampled = {}
            if replicates:
                progress("bootstrap", 0, replicates)
                resampled = bootstrap_replicates(
                    confidence,
                    errors,
                    replicates=replicates,
                    seed=seed,
                    risks=risk,
                    coverages=coverage,
                    progress=partial(progress, "bootstrap"),
                )
    columns = ["value", "low", "high"] if replicates else ["value"]
    rows: dict[str, dict[str, float | None]] = {}
    for name, value in values.items():
        draws = resampled[name][~np.isnan(resampled[name])] if replicates else np.zeros(0)
        limits = np.percentile(draws, [2.5, 97.5]).tolist() if len(draws) and value == value else [math.nan] * 2
        found = zip(columns, [value, *limits], strict=False)
        rows[name] = {column: None if math.isnan(number) else number for column, number in found}
    if as_json:
        typer.echo(json.dumps({"num_samples": len(confidence), "metrics": rows}, indent=2))
        return
    print_table(
        ["metric", *columns],
        [
            [name, *("nan" if row[column] is None else f"{row[column]:.6g}" for column in columns)]
            for name, row in rows.items()
        ],
        title=f"{len(confidence):,} samples" + (", 95 % bootstrap intervals" if replicates else ""),
    )


@app.command(epilog="Example: `unsmooth init study && cd study && snakemake --cores all`")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or an empty folder.")],
) -> None:
    """Copy the Snakemake workflow to DIR: Snakefile, config.yaml, rules, experiments and profiles."""
    from unsmooth.runtime.project import create_project

    with _errors_name(folder):
        create_project(folder)
    typer.echo(f"Next: cd {shlex.quote(str(folder))} && snakemake --cores all")


@app.command(epilog="Example: `unsmooth verify results --config config.yaml`")
def verify(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Results folder of the workflow.")] = Path(
        "results"
    ),
    config: Annotated[
        Paths,
        typer.Option(help="Configuration files, each laid over those before it and over config.yaml beside RESULTS."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify every table, figure and page against its provenance record and the present models, code and settings.

    All files are hashed and compared with the records of their jobs. Exit status 1 if a file is missing, changed,
    unrecorded, or older than its inputs, its code or the configuration; each is named, with the tables, figures and
    pages that depend on it.
    """
    from dataclasses import asdict

    from unsmooth.runtime.verification import verify as run

    beside = results.absolute().parent / "config.yaml"  # of a link to results elsewhere, that beside the link
    given = config or []
    with _errors_name(results):
        found = run(results, [beside, *given] if beside.is_file() else given)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        for line in found.lines():
            typer.echo(line)
    if found.findings:
        raise typer.Exit(1)


def _list_scores(wanted: bool) -> None:
    if wanted:
        from unsmooth.diagnosis.terminal import print_table
        from unsmooth.scores import SCORES

        rows = []
        for name, entry in SCORES.items():
            without_formula = re.sub(r",? :math:`[^`]*`", "", entry.summary)
            summary = re.sub(r":\w+:`([^`]*)`", r"\1", without_formula)
            rows.append([name, ", ".join(sorted(entry.needs)), ", ".join(entry.fitted), summary])
        print_table(["score", "needs", "fitted", ""], rows, title="Scores of logits and features")
        raise typer.Exit


# Reading


def _read(
    path: Path,
    targets: Path | None,
    keys: tuple[str | None, str | None],
    *,
    num_classes: int | None = None,
    split: Literal["test", "val"] = "test",
    at_least: int = 1,
) -> tuple["LogitsFile", "Converted"]:
    """Read a file and convert its rows to logits; print the notes."""
    from unsmooth.logits.foreign_files import read_any
    from unsmooth.logits.guards import chance_remark, refuse_target_column
    from unsmooth.logits.probabilities import as_logits

    with _errors_name(path):
        file = read_any(path, targets, num_classes=num_classes, logits_key=keys[0], targets_key=keys[1], split=split)
        if file.num_samples < at_least:
            raise ValueError(f"at least {at_least} samples are needed, got {file.num_samples}")
        converted = as_logits(file)
        refuse_target_column(converted.logits, file.targets)
    for note in (*file.notes, converted.note, chance_remark(file.logits, file.targets)):
        if note:
            _note(f"{path}: {note}")
    return file, converted


def _read_training(path: Path, keys: tuple[str | None, str | None], num_classes: int) -> dict[str, "NDArray[Any]"]:
    """The arrays on which scores of features are fitted."""
    from unsmooth.logits.foreign_files import read_any

    with _errors_name(path):
        file = read_any(path, num_classes=num_classes, logits_key=keys[0], targets_key=keys[1], split="train")
        return {"logits": file.logits, "targets": file.targets, **file.load_layer()}


def _check_softmax(name: str, params: Mapping[str, Any], *, from_probabilities: bool, only_msp: bool) -> None:
    """Refuse a score that softmax outputs do not determine."""
    from unsmooth.logits.probabilities import depends_on_mean

    if from_probabilities and depends_on_mean(name, params):
        raise ValueError(f"{name} depends on the mean of the logits, which softmax outputs do not hold")
    if only_msp and name != "msp":
        raise ValueError(f"{name} needs logarithms, and some softmax outputs are zero; only msp can be had")


def _check_disjoint(path: Path, logits: "NDArray[Any]", val: Path, val_logits: "NDArray[Any]") -> None:
    """Refuse test samples that also fit; print a note about a small share."""
    from unsmooth.logits.guards import check_disjoint

    if share := check_disjoint(logits, "its rows", val_logits, f"--val {val}"):
        _note(f"{path}: {100 * share:.2g} % of its rows are also in --val {val}; the same samples would bias the test")


def _batches(logits: "NDArray[np.floating[Any]]", progress: "Progress") -> Iterator["NDArray[np.floating[Any]]"]:
    """Yield the rows in at most a hundred parts, with progress."""
    step = max(1000, len(logits) // 100)
    for start in range(0, len(logits), step):
        progress("scoring", start, len(logits))
        yield logits[start : start + step]


def _read_confidences(path: Path) -> tuple["NDArray[np.floating[Any]]", "NDArray[Any]"]:
    from unsmooth.logits.tables import is_number

    suffix = ".csv" if path == Path("-") else path.suffix.lower()
    if path != Path("-") and not path.is_file():
        raise ValueError("no such file")
    if suffix not in COLUMN_SUFFIXES:
        raise ValueError(f"unknown suffix {suffix!r}, expected .csv, .npz or .parquet")
    try:
        names, columns = _read_columns(path, suffix)
    except Exception as error:  # every reader library has its own exceptions for a damaged file
        raise ValueError(f"cannot be read as {suffix}: {error or type(error).__name__}") from error
    confidence = columns.get("confidence")
    errors = columns.get("error", columns.get("errors"))
    if confidence is None or errors is None:
        raise ValueError(f"expected columns 'confidence' and 'error', found {', '.join(map(repr, names)) or 'none'}")
    for name, column in (("confidence", confidence), ("error", errors)):
        if column.ndim != 1 or not (len(column) == 0 or column.dtype.kind in "biuf"):
            texts = ((row, value) for row, value in enumerate(column.flat) if value is None or isinstance(value, str))
            found = (f"{value!r} in row {row}" for row, value in texts if value is None or not is_number(value))
            came = next(found, f"dtype {column.dtype} and shape {column.shape}")
            raise ValueError(f"column {name!r} must hold one number a sample, got {came}")
    if not len(confidence):
        raise ValueError("no rows; expected at least one sample")
    return confidence, errors


def _read_columns(path: Path, suffix: str) -> tuple[list[str], dict[str, "NDArray[Any]"]]:
    """Return the names of all columns, and the columns for `metrics`."""
    needed = ("confidence", "error", "errors")
    if suffix == ".npz":
        from unsmooth.logits.archives import npz_parts

        parts = npz_parts(path)
        return list(parts), {name: parts[name].load() for name in needed if name in parts}
    if suffix == ".parquet":
        import pyarrow.parquet as parquet

        table = parquet.read_table(path)
    else:
        import pyarrow.csv as csv

        # Without this "nan" would be a missing value and not a number that is rejected by row.
        options = csv.ConvertOptions(null_values=[])
        table = csv.read_csv(sys.stdin.buffer if path == Path("-") else path, convert_options=options)
    return table.column_names, {name: table[name].to_numpy() for name in needed if name in table.column_names}


def _parse_params(texts: Sequence[str], p: str | None) -> dict[str, float | str]:
    params: dict[str, float | str] = {}
    for text in [*texts, *([] if p is None else [f"p={p}"])]:
        name, _, value = text.partition("=")
        if name in ("centring", "scale"):
            params[name] = value
            continue
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        _refuse(math.isnan(number), "--p" if text == f"p={p}" else "--param", f"{text!r} is not name=number")
        params[name] = int(number) if number.is_integer() else number
    return params


# Writing


def _write_reports(
    results: Sequence["Diagnosis"], *, json_out: Path | None, html: Path | None, save: Path | None, plot: Path | None
) -> None:
    if json_out is not None:
        text = json.dumps({"diagnoses": [result.to_dict() for result in results]}, indent=2, allow_nan=False)
        if json_out == Path("-"):
            typer.echo(text)
        else:
            with _errors_name(json_out), atomic_path(json_out) as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")
    if save is not None:
        with _errors_name(save):
            results[0].classifier.save(save)
    if plot is not None:
        from unsmooth.figures.style import save_picture
        from unsmooth.page.diagnoses import risk_coverage_plot

        with _errors_name(plot):
            save_picture(risk_coverage_plot(results), plot)
    if html is not None:
        from unsmooth.page.diagnoses import diagnoses_page
        from unsmooth.page.page import write_page

        with _errors_name(html):
            write_page(diagnoses_page(results), html)
    for path in (json_out, save, plot, html):
        if path is not None and path != Path("-"):
            _note(f"wrote {path}")


def _write_columns(columns: Mapping[str, "NDArray[Any]"], sink: Any, suffix: str) -> None:  # noqa: ANN401 - path or stream
    if suffix == ".npz":
        import numpy as np

        np.savez(sink, **columns)  # type: ignore[arg-type]
        return
    import pyarrow as arrow

    if suffix == ".parquet":
        import pyarrow.parquet as parquet

        parquet.write_table(arrow.table(dict(columns)), sink)
    else:
        import pyarrow.csv as csv

        csv.write_csv(arrow.table(dict(columns)), sink, csv.WriteOptions(quoting_style="none"))


# Failing


def _note(text: str) -> None:
    typer.echo(text, err=True)


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Exit with status 1 and one line naming `path` for bad input or a file that cannot be read or written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (ValueError, OSError, MemoryError, KeyError) as error:
        from unsmooth.config.errors import ConfigError
        from unsmooth.logits.checks import LogitsFileError

        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        text = textwrap.shorten(reason, 600, placeholder=" ...")
        named = isinstance(error, LogitsFileError | ConfigError) or text.startswith(str(path))
        typer.echo(f"error: {text}" if named else f"error: {path}: {text}", err=True)
        raise typer.Exit(1) from None


def _refuse(wrong: object, option: str, reason: str) -> None:
    """Exit with status 2, naming the option, if it is used wrongly."""
    if wrong:
        raise typer.BadParameter(reason, param_hint=option)


def _check_outputs(inputs: Sequence[Path | None], outputs: Mapping[str, Path | None]) -> None:
    read = {path.resolve() for path in inputs if path is not None}
    for option, path in outputs.items():
        _refuse(path and path.resolve() in read, option, f"{path} is read; write to another file")
        _refuse(path and path.is_dir(), option, f"{path} is a folder; name a file in it")


def _names(files: Sequence[Path]) -> list[str]:
    """The shortest distinct ends of the paths."""
    whole = [file.absolute().parts for file in files]
    ends = (["/".join(parts[-length:]) for parts in whole] for length in range(1, max(map(len, whole)) + 1))
    return next(names for names in ends if len(set(names)) == len(set(whole)))


def run() -> None:
    """Run the command line; a missing optional dependency ends in one line with its install command."""
    try:
        with named_extras():
            app()
    except MissingExtraError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    run()
