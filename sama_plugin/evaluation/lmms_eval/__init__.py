"""SAMA for `lmms-eval`, which finds it by the entry point `lmms_eval.models` of this package.

    lmms-eval --model sama --model_args pretrained=DIR,device=cpu --tasks mme,videomme,mvbench

`pip install sama-plugin[lmms]` brings it, with some 70 packages and an older `av`: best into an environment of its own.
Its import alone needs far less: `pip install --no-deps lmms-eval loguru sacrebleu tabulate colorama lxml evaluate pytz
tenacity "filelock<3.20"` and `pip install pytablewriter`, beside the extras `host` and `train`.

`manifest` tells it about the class in `model`, which alone imports `lmms_eval`.
"""
