"""Builds the compiled counting core; everything else about the package is in pyproject.toml.

`footfall_gateway._beam` is firmware/lib/footfall_core/beam.py, the file that the board runs, compiled with the types in
_beam.pxd; `footfall_gateway._columns` opens it to columns. Where Cython, a C compiler or Python.h is missing, both are
left out, the installation still succeeds, and `footfall_gateway.counting` says that it counts in pure Python.

A wheel also carries the board's firmware, which `footfall flash` compiles and copies.
"""

import ast
import json
import sys
from collections.abc import Callable
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

CORE = "firmware/lib/footfall_core/beam.py"
CORE_WITH_VALUES = "build/cython/beam.py"
PACKAGE = "gateway/footfall_gateway"
FIRMWARE = "footfall_gateway/commissioning/firmware"  # in a wheel
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


def constants_to_values() -> str:
    """The path of the core with each constant's value in its place, for C to know it: 15 % faster.

    Otherwise it would be a variable, read again and again. Literals above 2**31 would become Python objects, so those
    stay variables, with their types in _beam.pxd.
    """
    tree = ast.parse(Path(CORE).read_text(encoding="utf-8"))
    values = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(value))) if (
                value < 2**31
            ):
                values[name] = value

    class Replacer(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            if isinstance(node.ctx, ast.Load) and node.id in values:
                return ast.Constant(values[node.id])
            return node

    made = Path(CORE_WITH_VALUES)
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(ast.unparse(Replacer().visit(tree)) + "\n", encoding="utf-8")
    return CORE_WITH_VALUES


def compiled_core() -> list[Extension]:
    try:
        from Cython.Build import cythonize  # noqa: PLC0415 - may be missing
        from Cython.Compiler.Errors import CompileError  # noqa: PLC0415
    except ImportError:
        sys.stderr.write("footfall: Cython is not installed, so counting will be in pure Python\n")
        return []
    try:
        return translated(cythonize)
    except (
        CompileError
    ) as error:  # a Cython of the future, or an edit of the core that _beam.pxd does not follow
        sys.stderr.write(
            f"footfall: Cython could not translate {error}, so counting will be in pure Python\n"
        )
        return []


def translated(cythonize: Callable[..., list[Extension]]) -> list[Extension]:
    """The extensions as C, each of them optional."""
    extensions = cythonize(
        [
            # Another name than the source's own: the source stays importable beside it
            Extension(
                "footfall_gateway._beam",
                [constants_to_values()],
                depends=[CORE, f"{PACKAGE}/_beam.pxd"],
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


class BuildOrSay(build_ext):
    """Extensions are optional: what fails is left out by setuptools, and named here in one line."""

    said = False

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except Exception:
            if not BuildOrSay.said:
                sys.stderr.write(
                    "footfall: the compiled counting engine was not built (a C compiler and Python.h are needed), "
                    "so counting will be in pure Python\n"
                )
                BuildOrSay.said = True
            raise


class WithFirmware(build_py):
    """Puts a copy of the firmware beside the code that flashes it; a checkout, editable or not, has firmware/ itself."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        package_list = Path("firmware/package.json")
        names = [source for _, source in json.loads(package_list.read_text(encoding="utf-8"))["urls"]]
        for name in [package_list.name, *names]:
            target = Path(self.build_lib, FIRMWARE, name)
            self.mkpath(str(target.parent))
            self.copy_file(str(Path("firmware", name)), str(target))


setup(ext_modules=compiled_core(), cmdclass={"build_ext": BuildOrSay, "build_py": WithFirmware})
