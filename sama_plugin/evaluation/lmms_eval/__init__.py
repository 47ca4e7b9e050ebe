"""SAMA for `lmms-eval`, which finds it by the entry point `lmms_eval.models` of this package.

    lmms-eval --model sama --model_args pretrained=DIR,device=cpu --tasks mme,videomme,mvbench

`lmms-eval` 0.7 asks for `av<16`, for exact versions of `wandb` and `ruff`, and for a `filelock` below 3.20, so it is no
extra of this package: install it with `--no-deps` and what its import names as missing, or into its own environment.

`manifest` tells it about the class in `model`, which alone imports `lmms_eval`.
"""
