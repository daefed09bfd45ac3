"""`shipped`: the tables of docs/models.md are what the command prints of the models that stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import shipped

ROOT = Path(__file__).parents[2]


def test_the_page_of_the_models_holds_the_tables_that_are_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    assert shipped.main(["--tables", "--out", str(ROOT / "models")]) == 0
    printed = capsys.readouterr().out.strip()
    assert "| model | task | precision | size |" in printed
    assert printed in page, "run python -m tools.shipped --tables --into docs/models.md"
    copy = tmp_path / "models.md"
    copy.write_text(page)
    shipped.put_into(copy, printed + "\n")
    assert copy.read_text() == page


def test_every_model_that_is_shipped_has_a_module_that_makes_it() -> None:
    there = {path.name for path in (ROOT / "models").iterdir() if path.is_dir()}
    assert there <= set(shipped.SHIPPED)
    for module, _ in shipped.SHIPPED.values():
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_a_page_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# no marks\n")
    with pytest.raises(ValueError, match="lacks"):
        shipped.put_into(page, "tables")
    assert page.read_text() == "# no marks\n"


def test_a_model_that_cannot_be_made_is_said_to_be_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "nowhere")
    arguments = ["--only", "turbofan-rul", "--data", nowhere, "--out", str(tmp_path / "models")]
    assert shipped.main(arguments) == 1
    assert "turbofan-rul: NOT MADE" in capfd.readouterr().out
    assert not (tmp_path / "models" / "turbofan-rul").exists()
