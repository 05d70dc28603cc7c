"""What a package index shows of the project."""

import json
import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)]*)\)")


def description():
    """The README as pyproject.toml has it changed for an index."""
    hook = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = "".join((ROOT / fragment["path"]).read_text(encoding="utf-8") for fragment in hook["fragments"])
    for substitution in hook["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    return text


def test_no_link_on_an_index_leads_nowhere():
    """A path beside the README is no address there: it is named, and linked in the repository alone."""
    relative = [link for link in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")) if "://" not in link]
    shown = description()

    assert relative
    assert [link for link in LINK.findall(shown) if "://" not in link] == []
    assert "`docs/index.md`" in shown


def test_the_installed_package_describes_itself_so():
    """As it was built, not as it was asked to be."""
    installed = distribution("losscheck")
    if json.loads(installed.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"):
        pytest.skip("an editable installation has the metadata of the day it was made")

    assert installed.metadata.json["description"].strip() == description().strip()
