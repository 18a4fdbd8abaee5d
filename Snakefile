# Label smoothing and selective classification, from dataset to figures, as one DAG:
#
#   download -> build_dataset -> train -> dump_logits -> score -> evaluate -> collect -> table_*, figure_*
#
# A cell is one trained model: (experiment, architecture, loss, alpha, seed). Its results live in
#   results/cells/{experiment}/{architecture}/{loss}_alpha-{alpha}/seed-{seed}/
# and results/tables/{experiment}/, results/figures/{experiment}/ hold tables and figures over all its cells.

from snakemake.utils import min_version

min_version("9.27")


REPOSITORY = workflow.current_basedir.get_path_or_uri(secret_free=True)  # also if workflow/Snakefile includes this


configfile: f"{REPOSITORY}/config.yaml"


report: "workflow/report/workflow.rst"


include: "rules/common.smk"


if workflow.is_main_process:
    shorten_terminal_output(logger, dry_run=workflow.output_settings.dryrun)
    check_writable("results", "resources")
    follow_moved_data()
    warn_of_stale_cells()


rule all:
    default_target: True
    input:
        [PLAN.outputs(name) for name in PLAN.selected],
        "results/tables/summary.csv",
        PLAN.scorecard,
        PAGE,


rule embedded:
    input:
        [PLAN.outputs(name) for name, found in PLAN.experiments.items() if found.embedded],


rule tables:
    input:
        [PLAN.table_files(table, name) for table in TABLES for name in PLAN.selected],
        "results/tables/summary.csv",
        PLAN.scorecard,


rule figures:
    input:
        [PLAN.figure_files(figure, name) for figure in FIGURES for name in PLAN.selected],
        PLAN.scorecard,


rule scorecard:
    input:
        PLAN.scorecard,


# The interactive page of the run, results/report/index.html
rule page:
    input:
        PAGE,


include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/logits.smk"
include: "rules/score.smk"
include: "rules/evaluate.smk"
include: "rules/collect.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/page.smk"


for figure_name in FIGURES:

    rule:
        name:
            f"figure_{figure_name}"
        input:
            [PLAN.figure_files(figure_name, name) for name in PLAN.selected],


for table_name in TABLES:

    rule:
        name:
            f"table_{table_name}"
        input:
            [PLAN.table_files(table_name, name) for name in PLAN.selected],


check_experiment_names()

for experiment_name in PLAN.experiments:

    rule:
        name:
            experiment_name
        input:
            PLAN.outputs(experiment_name),


onstart:
    check_cores()
    hold_folder()
    start_job_server()
    lift_rate_limit()


onsuccess:
    print_results()
