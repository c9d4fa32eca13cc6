"""What others call the options and the commands of the terminal."""

from __future__ import annotations

from typing import Final

from mnist_arch.spec.synonyms import ARGUMENTS

from .flags import in_flags

OPTIONS: Final[dict[str, str]] = {
    **{in_flags(argument): words for argument, words in ARGUMENTS.items()},
    "--quiet": "quiet silent verbose verbosity no_progress",
    "--json": "json as_json format output_format",
    "--dry-run": "dry_run dryrun check validate print_config show_config",
    "--blocks": "blocks by_block",
    "--markdown": "markdown md",
    "--schema": "schema json_schema",
    "--csv": "csv to_csv",
    "SPEC": "spec config cfg model arch network net file model_name architecture config_file"
    " yaml conf",
}
"""Options with an example of a value, and what others call them."""

COMMANDS: Final[dict[str, str]] = {
    "train": "fit run training start learn trainer main",
    "eval": "evaluate test score validate accuracy judge inference benchmark",
    "summary": "info count params parameters describe show print model inspect summarize summarise"
    " torchinfo stats list plan flops macs",
    "report": "html page dashboard plot visualize visualise draw",
    "runs": "history ls log logs ps results list-runs rename remove delete rm pack zip",
    "sweep": "search tune grid hpo experiments experiment compare ablation hyperopt optimize"
    " optimise study",
    "export": "onnx torch_export save deploy serialize serialise pt2 executorch tflite",
    "play": "demo gui webapp app sketch serve",
    "predict": "classify recognize recognise infer guess",
    "import": "convert from_table from_torchsummary from_keras parse",
    "audit": "review lint claim",
    "check": "verify grade trust recheck handin",
    "zoo": "networks models records hub pretrained catalog catalogue",
}
"""Commands, and what others call them."""
