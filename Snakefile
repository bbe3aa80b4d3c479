# The same DAG as `dvc repro`, in parallel: one rule per stage of dvc.yaml, run by DVC. See workflow/.
import sys

from pipeline.core.errors import ExpectedError
from pipeline.plan import make_plan
from workflow.cluster_check import before_first_job, cancel_jobs_left, refuse_edits
from workflow.dag import (
    niceness,
    priorities,
    read_stages,
    read_status,
    settled,
    without_gates,
)
from workflow.failures import show_failures
from workflow.records import forced_stages, shown_files, start_times, write_records
from workflow.repair import repair
from workflow.run_stage import job_command, log_path, open_gates
from workflow.stamps import force, reconcile, stamp_path

clean = []  # the stages that are up to date
try:
    if workflow.is_main_process:
        refuse_edits()
        make_plan()
        started = start_times()
        project = repair()
        for line in project.done:
            print(line, file=sys.stderr)
        status = read_status() if open_gates(project) else project.status
        stages = without_gates(project.stages)
        clean = settled(stages, status)
        reconcile(clean)
        write_records(clean, started)
    stages = without_gates(read_stages())
except ExpectedError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


priority_of = priorities(stages)
nice_of = niceness(priority_of)


# The files are here for `--report` alone; no rule makes them.
rule all:
    input:
        [stamp_path(stage.address) for stage in stages],
        [report(file, labels={"file": file}) for file in shown_files(clean)],


# `snakemake --lint` says of each rule: "Specify a conda environment or container for each rule." There is one
# environment for all stages, that of requirements.lock, since `dvc repro` runs them in it as well.
for stage in stages:

    rule:
        name:
            stage.address
        input:
            [stamp_path(address) for address in stage.upstream],
        output:
            stamp_path(stage.address),
        log:
            log_path(stage.address),
        priority: priority_of[stage.address]
        threads: stage.threads
        resources:
            mem_mb=stage.mem_mb,
            gpu=stage.gpu,
        params:
            command=job_command(stage.address),
            nice=nice_of[stage.address],
        shell:
            "{params.command}"


# The command line's settings are not known before.
onstart:
    try:
        before_first_job(workflow)
    except ExpectedError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    force(forced_stages(stages, workflow.dag_settings))


onerror:
    cancel_jobs_left(workflow)
    show_failures()
