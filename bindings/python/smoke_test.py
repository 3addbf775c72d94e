"""Smoke test of the Python bindings: the generated module against the real library."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "generated"))

import doorstep  # noqa: E402  (found through the line above)


class Core(unittest.TestCase):
    def test_the_library_loads_and_tells_its_version(self):
        self.assertRegex(doorstep.core_version(), r"^\d+\.\d+\.\d+$")


if __name__ == "__main__":
    unittest.main()
