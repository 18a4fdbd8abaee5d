"""The workflow on a real Slurm, while a job is cancelled and a node is lost."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import pytest
from miniatures.workspace import make_workspace
from workflow.slurm.cluster import Cluster, missing

pytestmark = [pytest.mark.slurm, pytest.mark.workflow, pytest.mark.slow]

# The name that Slurm knows a training by, and its cell.
CANCELLED = "rule_train_wildcards_long_gaussians_mlp_ce_0_0", "long_gaussians/mlp/ce_alpha-0/seed-0"
STRANDED = "rule_train_wildcards_long_gaussians_mlp_ls_0.2_0", "long_gaussians/mlp/ls_alpha-0.2/seed-0"
LONG = [f"results/cells/{cell}/model.safetensors" for _, cell in (CANCELLED, STRANDED)]
ON_SLURM = [
    *("--workflow-profile", "profiles/slurm"),
    *("--slurm-init-seconds-before-status-checks", "5"),
    "--slurm-no-requeue",  # Snakemake submits the jobs of a lost node at once, Slurm itself after two minutes
]
TIMED = {"run.json", "cost.csv", "cost.md", "cost.tex"}  # what a run took differs, and with it the records of these
TIMEOUT_S = 1500


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if lacking := missing():
        pytest.skip(f"Slurm cannot run here without {', '.join(lacking)} (make test-slurm installs it)")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def make_long_workspace(folder):
    workspace = make_workspace(folder)
    shutil.copy2(Path(__file__).with_name("long_gaussians.yaml"), folder / "experiments")
    return workspace


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A workspace in which the long trainings have run without Slurm."""
    workspace = make_long_workspace(tmp_path_factory.mktemp("local"))
    workspace.run(*LONG)
    return workspace


@pytest.fixture(scope="module")
def on_slurm(cluster, tmp_path_factory):
    """A workspace in which everything has run on Slurm, though one training was cancelled and one lost its node."""
    workspace = make_long_workspace(tmp_path_factory.mktemp("on_slurm"))
    workspace.variables = cluster.environment
    for rule in ("train", "dump_logits"):
        workspace.edit("profiles/slurm/config.yaml", f"  {rule}:\n", f"  {rule}:\n    slurm_partition: training\n")
    faults = {
        CANCELLED: lambda job: cluster.run("scancel", job.number),
        STRANDED: lambda job: cluster.lose(job.node),
    }
    with ThreadPoolExecutor() as pool:
        run = pool.submit(workspace.snakemake, "tiny_gaussians", *LONG, *ON_SLURM, timeout=TIMEOUT_S)
        while not run.done():
            time.sleep(0.2)
            for name, cell in list(faults):
                running = [job for job in cluster.jobs() if job.comment == name and job.state == "RUNNING"]
                if running and (workspace.folder / "results/cells" / cell / "checkpoint.pt").exists():
                    faults.pop((name, cell))(running[0])
    done = run.result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not faults
    return workspace


def results(workspace, experiment):
    """Return the contents of all files of an experiment, and of their records, that tell no times."""
    folder = workspace.folder / "results"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob(f"{experiment}/**/*")
        if path.is_file()
        and path.suffix not in (".log", ".tsv")
        and not {path.name, path.name.removesuffix(".json")} & TIMED
    }


def attempts(cluster, training):
    jobs = [job for job in cluster.jobs() if job.comment == training[0]]
    return sorted(jobs, key=lambda job: int(job.number))


def training_log(workspace, training):
    return (workspace.folder / "results/logs/train" / training[1]).with_suffix(".log").read_text()


def test_results_are_those_of_a_local_run_bit_for_bit(on_slurm, finished, local):
    for experiment, alone in (("tiny_gaussians", finished), ("long_gaussians", local)):
        expected, actual = results(alone, experiment), results(on_slurm, experiment)

        assert len(expected) > 1 and actual.keys() == expected.keys()
        assert [name for name in expected if actual[name] != expected[name]] == []


def test_a_cancelled_training_is_submitted_again_and_resumes(on_slurm, cluster):
    cancelled, *_, last = attempts(cluster, CANCELLED)

    assert (cancelled.state, last.state) == ("CANCELLED", "COMPLETED")
    assert (cancelled.memory, last.memory) == ("4000M", "8000M")
    assert "resumed at epoch" in training_log(on_slurm, CANCELLED)


def test_a_training_resumes_on_another_node_when_its_own_is_lost(on_slurm, cluster):
    lost, *_, last = attempts(cluster, STRANDED)

    assert (lost.state, last.state) == ("NODE_FAIL", "COMPLETED")
    assert lost.node != last.node
    assert "resumed at epoch" in training_log(on_slurm, STRANDED)


def test_only_training_and_inference_ask_for_gpus(on_slurm, cluster):
    names = {job.number: job.comment for job in cluster.jobs()}

    assert {names[number].split("_wildcards_")[0] for number in cluster.gpus()} == {"rule_train", "rule_dump_logits"}


def test_rules_named_in_the_profile_run_in_a_partition_of_their_own(on_slurm, cluster):
    partitions = {job.comment.split("_wildcards_")[0]: job.partition for job in cluster.jobs()}

    apart = {rule for rule, partition in partitions.items() if partition == "training"}
    assert apart == {"rule_train", "rule_dump_logits"}
    assert set(partitions.values()) == {"training", "main"}


def test_jobs_at_the_same_time_on_a_node_have_different_gpus(on_slurm, cluster):
    gpus = cluster.gpus()
    together = [
        (gpus[one.number], gpus[other.number])
        for one, other in combinations([job for job in cluster.jobs() if job.number in gpus], 2)
        if one.node == other.node and one.start < other.end and other.start < one.end
    ]

    assert together
    assert all(one.isdisjoint(other) for one, other in together)
    assert {len(used) for used in gpus.values()} == {1, 2}


def test_short_jobs_share_one_of_slurm(on_slurm, cluster):
    submitted = {job.comment.split("_wildcards_")[0] for job in cluster.jobs()}

    assert "rule_scored_evaluate_score" in submitted
    assert not {"rule_score", "rule_evaluate", "rule_collect", "rule_write_main", "rule_draw_reliability"} & submitted
