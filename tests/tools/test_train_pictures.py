"""Photos to bundles that the agent loads and that tell good from bad; or a sentence and nothing."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.inference.model import load_model
from edge_agent.pictures import image
from edge_agent.types import Frame
from tests.tools.pictures import class_folders, metal, pit_of, save
from tools import evaluate
from tools.bundling.fresh_folder import fresh_folder
from tools.datasets import ballscrew
from tools.photos import Photo
from tools.scoring.box_merit import average_precisions, f1
from tools.scoring.report import auroc
from tools.train.__main__ import main, recipes
from tools.training.photo_recipe import command_line, name_from
from tools.training.splits import Split
from tools.training.thresholds import limits

if TYPE_CHECKING:
    from edge_agent.inference.model import Model


def frames(count: int, *, pitted: bool, size: tuple[int, int] = (96, 128)) -> list[Frame]:
    rng = np.random.default_rng(99)
    pictures = (metal(rng, pit_of(rng) if pitted else None, size) for _ in range(count))
    return [Frame(image.decode(image.encode_jpeg(pixels)), 0, 0, 0) for pixels in pictures]


def scores(model: Model, *, pitted: bool) -> list[float]:
    return [evaluate.inspect(model, frame).score for frame in frames(10, pitted=pitted)]


@pytest.mark.tools
@pytest.mark.timeout(600)
def test_twenty_photos_a_class_become_a_bundle_that_tells_them_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = class_folders(tmp_path / "screws", 20), tmp_path / "out" / "pits"
    words = ["classify", str(data), str(out), "--group", r"part_(\d+)", "--size", "96x128"]
    assert main(words) == 0
    model = load_model(out, threads=1, roi=None)
    manifest = model.bundle.manifest
    assert manifest.model_id == "pits"
    assert manifest.task.postprocess.normal == ("good",)
    assert model.bundle.variant.precision == "int8"
    rule = manifest.decision.rule
    assert np.mean([score >= rule.fail_at for score in scores(model, pitted=True)]) >= 0.8
    assert np.mean([score < rule.fail_at for score in scores(model, pitted=False)]) >= 0.8
    assert "groups" in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == ["pits"]
    card = (out / "card.md").read_text()
    assert card.startswith("# pits\n")
    assert "AUROC" in card


@pytest.mark.tools
@pytest.mark.timeout(600)
def test_a_classifier_can_be_tuned_and_pruned(tmp_path: Path) -> None:
    data, out = class_folders(tmp_path / "screws", 20), tmp_path / "pits"
    words = ["classify", str(data), str(out), "--group", r"part_(\d+)", "--size", "96x128"]
    assert main([*words, "--depth", "5", "--tune", "2", "--prune", "0.5"]) == 0
    model = load_model(out, threads=1, roi=None)
    assert np.mean(scores(model, pitted=True)) > np.mean(scores(model, pitted=False))


@pytest.mark.tools
@pytest.mark.timeout(600)
def test_a_pruned_front_learns_what_the_whole_one_sees() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is in the training environment only")
    from tools.training import photo_pruning  # noqa: PLC0415
    from tools.training.photo_nets import PREPROCESS, trunk  # noqa: PLC0415
    from tools.training.photo_recipe import Prepared  # noqa: PLC0415
    from tools.training.photo_training import Lesson, frozen  # noqa: PLC0415
    from tools.training.pictures import normalised  # noqa: PLC0415

    rng = np.random.default_rng(0)
    pixels = np.stack([metal(rng, pit_of(rng) if n % 2 else None, (64, 96)) for n in range(80)])
    photos = [Photo(Path(), str(n % 2), str(n // 8)) for n in range(80)]
    parts = (np.arange(64), np.arange(0), np.arange(64, 80))
    ready = Prepared(photos, Split(*parts), (64, 96), PREPROCESS, pixels)
    lesson = Lesson(ready, np.arange(80) % 2, 2, 0)
    whole = frozen(lesson, (5,))
    small = photo_pruning.pruned(lesson, whole, 0.5)

    def weights(network: Any) -> int:
        return sum(each.numel() for each in network.parameters())

    assert weights(small.network[0]) < 0.5 * weights(trunk(5, (64, 96)))
    assert small.held.tolist() == list(range(64))
    never_seen = torch.from_numpy(normalised(pixels[64:], PREPROCESS)).permute(0, 3, 1, 2)
    with torch.no_grad():
        both = [each.network[0](never_seen).flatten().numpy() for each in (whole, small)]
        answers = small.network(never_seen)[:, 0].numpy()
    assert np.corrcoef(*both)[0, 1] > 0.55
    assert auroc(np.arange(16) % 2 == 1, answers) > 0.9


def outlined(root: Path, count: int) -> Path:
    """Write labelme files: half of the photos have a pit."""
    rng = np.random.default_rng(0)
    for number in range(count):
        pit = pit_of(rng) if number % 2 else None
        save(root / f"{number}.jpg", metal(rng, pit))
        shapes = []
        if pit:
            x, y, radius = pit
            points = [[x, y], [x + radius, y]]
            shapes = [{"label": "pit", "shape_type": "circle", "points": points}]
        tree = {"imagePath": f"{number}.jpg", "imageWidth": 128, "imageHeight": 96}
        (root / f"{number}.json").write_text(json.dumps({**tree, "shapes": shapes}))
    return root


@pytest.mark.tools
@pytest.mark.timeout(600)
def test_outlined_pits_are_found_where_they_are(tmp_path: Path) -> None:
    data, out = outlined(tmp_path / "screws", 60), tmp_path / "pits"
    assert main(["segment", str(data), str(out), "--size", "96x128"]) == 0
    model = load_model(out, threads=1, roi=None)
    rng = np.random.default_rng(5)
    frame = Frame(metal(rng, (80, 40, 14)), 0, 0, 0)
    (defect, *_) = evaluate.inspect(model, frame).defects
    assert defect.label == "pit"
    assert defect.x < 80 < defect.x + defect.w
    assert defect.y < 40 < defect.y + defect.h


@pytest.mark.tools
@pytest.mark.timeout(600)
def test_a_detector_is_trained_from_the_same_files(tmp_path: Path) -> None:
    data, out = outlined(tmp_path / "screws", 48), tmp_path / "pits"
    assert main(["detect", str(data), str(out), "--size", "96x128", "--epochs", "8"]) == 0
    model = load_model(out, threads=1, roi=None)
    rng = np.random.default_rng(5)
    found = evaluate.inspect(model, Frame(metal(rng, (80, 40, 14)), 0, 0, 0)).defects
    assert any(d.x < 80 < d.x + d.w and d.y < 40 < d.y + d.h for d in found)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("few", "error: class scratch has 2 usable photos; at least 10 are needed"),
        ("broken", "pictures cannot be read"),
        ("size", "wanted are two multiples of 32"),
        ("groups", "cannot be parted into 3 parts"),
    ],
)
@pytest.mark.tools
def test_data_that_will_not_do_is_a_sentence_and_nothing_is_written(
    spoil: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = class_folders(tmp_path / "data", 12), tmp_path / "made" / "out"
    words = ["classify", str(data), str(out)]
    if spoil == "few":
        for number in range(2):
            save(data / "scratch" / f"{number}.jpg", metal(np.random.default_rng(100 + number)))
    elif spoil == "broken":
        for path in sorted((data / "good").iterdir())[:8]:
            path.write_bytes(path.read_bytes()[:200])
    elif spoil == "size":
        words += ["--size", "100x100"]
    else:
        words += ["--group", "(part)"]
    assert main(words) == 1
    printed = capsys.readouterr().err
    assert said in printed
    assert "Traceback" not in printed
    assert f"nothing was written to {out}" in printed
    assert not out.parent.exists()


@pytest.mark.tools
@pytest.mark.parametrize("recipe", ["classify", "good-photos"])
def test_a_good_label_that_no_photo_has_is_refused_with_those_there_are(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = class_folders(tmp_path / "data", 20), tmp_path / "out"
    words = [recipe, str(data), str(out), "--group", r"part_(\d+)", "--good", "ok"]
    assert main(words) == 1
    assert "error: --good ok: the labels are good, pitted" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.tools
def test_segmenting_without_marks_names_the_other_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = class_folders(tmp_path / "data", 12)
    assert main(["segment", str(data), str(tmp_path / "out")]) == 1
    assert "outline defects with labelme, or try `classify`" in capsys.readouterr().err


def test_every_recipe_says_what_it_is_for() -> None:
    found = recipes(["classify", "detect", "segment"])
    assert set(found) == {"classify", "detect", "segment"}
    assert all(recipe.SUMMARY for recipe in found.values())


def test_help_needs_no_training_framework() -> None:
    code = "import sys; sys.modules['torch'] = None; from tools.train.__main__ import main; main()"
    words = [sys.executable, "-c", code, "classify", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--false-reject" in done.stdout


def test_without_the_training_framework_a_sentence_says_where_it_is(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from tools.train.__main__ import main; "
        "sys.exit(main())"
    )
    words = [sys.executable, "-c", code, "classify", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: torch is missing: training has an environment of its own")


def test_the_command_on_a_card_names_places_as_they_were_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def said(data: Path, out: Path) -> str:
        monkeypatch.setattr(sys, "argv", ["tools.train", "classify", str(data), str(out)])
        return command_line(argparse.Namespace(data=data, out=out))

    typed = said(Path("my-parts"), Path("models/my-parts"))
    assert typed == "python -m tools.train classify my-parts models/my-parts"
    elsewhere = said(tmp_path / "my-parts", tmp_path / "models" / "pits")
    assert elsewhere == "python -m tools.train classify my-parts pits"


def test_a_bundle_that_is_to_be_replaced_is_said_to_be_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text("{}")
    assert main(["classify", str(tmp_path / "photos"), str(tmp_path / "model")]) == 1
    assert "model is a bundle already: this one replaces it" in capsys.readouterr().out
    assert (tmp_path / "model" / "manifest.json").read_text() == "{}"


def test_a_folder_that_is_no_bundle_is_refused_before_the_data_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a.txt").write_text("dear")
    assert main(["classify", str(tmp_path / "nowhere"), str(tmp_path / "theirs")]) == 1
    said = capsys.readouterr().err
    assert "theirs exists and is no bundle: choose another place, or remove it" in said
    assert "nowhere" not in said
    assert (tmp_path / "theirs" / "a.txt").read_text() == "dear"


def test_a_place_where_nothing_can_be_written_is_named_before_the_data_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", str(tmp_path / "nowhere"), "/proc/self/models/m"]) == 1
    said = capsys.readouterr().err
    assert "error: /proc/self/models/m: nothing can be written to /proc/" in said
    assert "nowhere" not in said


def test_a_failure_leaves_the_bundle_that_was_there(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with fresh_folder(out) as folder:
        (folder / "manifest.json").write_text("first")

    def second() -> None:
        with fresh_folder(out) as folder:
            (folder / "manifest.json").write_text("second")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        second()
    assert (out / "manifest.json").read_text() == "first"
    assert list(tmp_path.iterdir()) == [out]
    with fresh_folder(out) as folder:
        (folder / "manifest.json").write_text("third")
    assert (out / "manifest.json").read_text() == "third"


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("dear")

    def write() -> None:
        with fresh_folder(tmp_path / "photos"):
            pass

    with pytest.raises(FileExistsError, match="is no bundle"):
        write()
    assert (tmp_path / "photos" / "a.jpg").read_text() == "dear"


@pytest.mark.parametrize(
    ("recipe", "share", "sentence"),
    [
        ("classify", "2", "2: wanted is a share from 0 to 1, as in 0.02"),
        ("classify", "1", "1: wanted is a share from 0 to 1, as in 0.02"),
        ("segment", "-0.1", "-0.1: wanted is a share from 0 to 1, as in 0.02"),
        ("segment", "2%", "2%: wanted is a share from 0 to 1, as in 0.02"),
        ("good-photos", "0.5", "0.5: wanted is a share above 0 and below 0.5, as in 0.02"),
    ],
)
def test_a_share_that_is_none_is_refused_before_the_training(
    recipe: str, share: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([recipe, "nowhere", "out", f"--false-reject={share}"])
    said = capsys.readouterr().err.splitlines()
    assert said[-1].endswith(f"error: argument --false-reject: {sentence}")


def test_limits_leave_few_good_parts_to_fail_and_few_bad_ones_to_pass() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.beta(2, 5, 500), rng.beta(5, 2, 500)
    truth = np.repeat([False, True], 500)
    pass_at, fail_at = limits(np.concatenate([good, bad]), truth, 0.02)
    assert pass_at < fail_at
    assert (good >= fail_at).mean() <= 0.02
    assert (bad < pass_at).mean() <= 0.021


def test_limits_of_classes_that_are_far_apart_lie_between_them() -> None:
    values = np.array([0.05, 0.1, 0.8, 0.9])
    pass_at, fail_at = limits(values, np.array([False, False, True, True]))
    assert 0.1 < pass_at == fail_at < 0.8


def test_a_limit_by_groups_holds_for_four_of_five_new_ones() -> None:
    rng = np.random.default_rng(1)
    broken: dict[bool, list[bool]] = {False: [], True: []}
    groups = [str(group) for group in range(3) for _ in range(50)]
    for _ in range(200):
        levels = rng.normal(-2, 1, 10)
        logits = levels[:, None] + rng.normal(0, 0.3, (10, 50))
        good = 1 / (1 + np.exp(-logits))
        values = np.concatenate([good[:3].ravel(), rng.uniform(0.01, 1, 150)])
        truth = np.repeat([False, True], 150)
        for by_group in broken:
            fail_at = limits(values, truth, 0.02, [*groups, *groups] if by_group else None)[1]
            broken[by_group] += ((good[3:] >= fail_at).mean(axis=1) > 0.02).tolist()
    assert 0.1 < np.mean(broken[True]) < 0.25
    # The limit of all of them together.
    assert np.mean(broken[False]) > 0.25


def test_a_single_group_moves_no_limit() -> None:
    values, truth = np.array([0.1, 0.2, 0.3, 0.7, 0.8]), np.array([False] * 3 + [True] * 2)
    assert limits(values, truth, 0.02, ["a"] * 5) == limits(values, truth, 0.02)


def test_average_precision_of_boxes_worked_out_by_hand() -> None:
    real = [np.array([[0, 0, 1, 1, 0], [2, 2, 3, 3, 0]])]
    hit, miss, other = [0, 0, 1, 1, 0, 0.9], [5, 5, 6, 6, 0, 0.8], [2, 2, 3, 3, 0, 0.7]
    found: list[Any] = [np.array([hit, miss, other])]
    # Precision 1 up to recall 1/2, then 2/3.
    assert average_precisions(found, real, 1)[0] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert f1(found, real, 1) == pytest.approx(2 * 2 / 5)
    # A second box on the same thing is a false one.
    twice: list[Any] = [np.array([hit, hit])]
    assert average_precisions(twice, real, 1)[0] == pytest.approx(0.5)
    assert np.isnan(average_precisions(found, real, 2)[1])


def test_hard_photos_are_compared_with_those_of_their_own_position() -> None:
    photos = [
        ballscrew.Photo(Path(f"{place}{time}.jpg"), place, str(time), pitted=time >= 2)
        for place in ("a", "b")
        for time in range(4)
    ]
    # In each place pitted photos score higher; clean ones of b score above pitted ones of a.
    scores = np.array([0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8])
    assert ballscrew.within_positions(photos, scores) == 1.0
    pitted = np.array([photo.pitted for photo in photos])
    assert auroc(pitted, scores) == 0.75


def test_a_model_is_named_after_its_folder(tmp_path: Path) -> None:
    assert name_from(tmp_path / "My Model_2") == "my-model-2"
