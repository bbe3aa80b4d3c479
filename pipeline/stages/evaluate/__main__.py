from pipeline.core.entry import run_keyed_stage

run_keyed_stage("pipeline.stages.evaluate")
