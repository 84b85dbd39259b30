"""Builds the compiled counting core; everything else about the package is in pyproject.toml.

`footfall_gateway._beam` is firmware/lib/footfall_core/beam.py, the file that the board runs, compiled with the types in
_beam.pxd; `footfall_gateway._columns` opens it to columns. Where Cython, a C compiler or Python.h is missing, both are
left out, the installation still succeeds, and `footfall_gateway.counting` says that it counts in pure Python.
"""

import sys

from setuptools import Extension, setup

CORE = "firmware/lib/footfall_core/beam.py"
PACKAGE = "gateway/footfall_gateway"
# -fno-semantic-interposition lets the compiler inline across what Cython exports to `_columns`
COMPILE = [] if sys.platform == "win32" else ["-O3", "-fno-semantic-interposition"]
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "boundscheck": False,  # _columns checks the rows once
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,  # nothing that is divided is negative
}


def compiled_core() -> list[Extension]:
    try:
        from Cython.Build import cythonize  # noqa: PLC0415 - may be missing
    except ImportError:
        sys.stderr.write("footfall: Cython is not installed, so counting will be in pure Python\n")
        return []
    extensions = cythonize(
        [
            # Another name than the source's own: the source stays importable beside it
            Extension(
                "footfall_gateway._beam",
                [CORE],
                depends=[f"{PACKAGE}/_beam.pxd"],
                extra_compile_args=COMPILE,
            ),
            Extension(
                "footfall_gateway._columns",
                [f"{PACKAGE}/_columns.pyx"],
                depends=[f"{PACKAGE}/_beam.pxd"],
                extra_compile_args=COMPILE,
            ),
        ],
        include_path=["gateway"],
        compiler_directives=DIRECTIVES,
        build_dir="build/cython",
        force=True,  # a change of the .pxd alone would not be seen
    )
    for extension in extensions:
        extension.optional = True  # only now: cythonize makes new ones
    return extensions


setup(ext_modules=compiled_core())
