"""Downloads that break, are wrong, or come from elsewhere."""

import hashlib

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_a_broken_download_is_resumed(shipped, server):
    workspace = shipped("online_shoppers_mlp")
    server.cuts = [500, 700]

    workspace.run("resources/sources/online_shoppers/source.json")

    ranges = [value for _, value in server.requests if value]
    assert [int(value.removeprefix("bytes=").rstrip("-")) for value in ranges] == [500, 1200]


def test_a_corrupt_download_ends_the_run_and_is_not_kept(shipped, server):
    workspace = shipped("online_shoppers_mlp")
    name = next(name for name in server.files if "shoppers" in name)
    right = server.files[name]
    server.files[name] = right[:-10] + bytes(10)

    done = workspace.snakemake()
    output = done.stdout + done.stderr

    assert done.returncode != 0 and "Traceback" not in output
    assert hashlib.sha256(server.files[name]).hexdigest() in output and hashlib.sha256(right).hexdigest() in output
    manifest = "resources/online_shoppers_complete-False_num_val-100/manifest.json"
    assert not (workspace.folder / manifest).exists()
    server.files[name] = right
    workspace.run(manifest)


def test_where_a_download_comes_from_reruns_nothing(shipped, server):
    workspace, summary = shipped("online_shoppers_mlp"), "results/tables/online_shoppers_mlp/summary.csv"
    workspace.run(summary)

    workspace.edit("tiny.yaml", f"{server.address}/", f"{server.address}/elsewhere/")

    assert workspace.planned(summary) == set()
