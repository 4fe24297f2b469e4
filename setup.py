"""What pyproject.toml cannot say: folders at the top of the repository that travel inside the package."""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

TRAVELLING = {"braindecode_x.data_cards": "data_cards", "braindecode_x.pipelines": "pipelines"}


class BuildPy(build_py):
    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Leave out the scripts of the travelling folders; their data files are named in pyproject.toml."""
        return [] if package in TRAVELLING else super().find_package_modules(package, package_dir)


setup(
    packages=[*find_packages(include=["braindecode_x", "braindecode_x.*"]), *TRAVELLING],
    package_dir=TRAVELLING,
    cmdclass={"build_py": BuildPy},
)
