# The same DAG as `dvc repro`, in parallel: one rule per stage of dvc.yaml, run by DVC. See workflow/.
import sys

from pipeline.core.errors import ExpectedError
from pipeline.plan import make_plan
from workflow.dag import DagError, priorities, read_stages, read_status, without_gates
from workflow.repair import repair
from workflow.run_stage import open_gates
from workflow.stamps import reconcile, show_failures, stamp_path

try:
    if workflow.is_main_process:
        make_plan()
        project = repair()
        for line in project.done:
            print(line, file=sys.stderr)
        status = read_status() if open_gates(project) else project.status
        reconcile((stage.address for stage in without_gates(project.stages)), status)
    stages = without_gates(read_stages())
except (DagError, ExpectedError) as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


priority_of = priorities(stages)


rule all:
    input:
        [stamp_path(stage.address) for stage in stages],


for stage in stages:

    rule:
        name:
            stage.address
        input:
            [stamp_path(address) for address in stage.upstream],
        output:
            stamp_path(stage.address),
        priority: priority_of[stage.address]
        threads: stage.threads
        resources:
            mem_mb=stage.mem_mb,
            gpu=stage.gpu,
        params:
            python=sys.executable,
            address=stage.address,
        shell:
            "exec {params.python:q} -m workflow.run_stage {params.address:q}"


onerror:
    show_failures()
