"""The panels about lesions, agreement, artefacts, comparisons and worst cases: known numbers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from petcast.report import write_report
from petcast.report.artefacts import artefact_panel
from petcast.report.bland_altman import bland_altman
from petcast.report.comparisons import comparisons_of
from petcast.report.inputs import Evaluation, read_run
from petcast.report.lesions import lesion_panel
from petcast.report.worst import worst_cases

MakeRun = Callable[..., Path]
Evaluated = Callable[..., dict[str, Any]]
Read = Callable[[dict[str, Any]], Evaluation]

MODEL = "Stage02"


def lesion(
    patient: str, number: int, truth: float, predicted: float, **more: Any
) -> dict[str, Any]:
    """A lesion of the model; what is not given is unknown."""
    return {
        "name": MODEL, "patient": patient, "lesion": number, "source": "mask", "slice": 4,
        "volume_ml": 2.0, "hot": True, "clipped": truth > 10, "found": predicted > truth / 2,
        "truth_suv_max": truth, "prediction_suv_max": predicted, "truth_suv_mean": truth / 2,
        "prediction_suv_mean": predicted / 2, **more,
    }  # fmt: skip


def agreement(of: str, region: str, metric: str, points: list[tuple[str, float, float]]) -> Any:
    differences = [p - t for _, t, p in points]
    bias, sd = float(np.mean(differences)), float(np.std(differences, ddof=1))
    ends = {"bias_low": bias - 0.1, "bias_high": bias + 0.1}
    limits = {"lower": bias - 1.96 * sd, "upper": bias + 1.96 * sd}
    edges = {
        f"{k}_{e}": v + s for k, v in limits.items() for e, s in (("low", -0.2), ("high", 0.2))
    }
    return {
        "name": MODEL, "of": of, "region": region, "metric": metric, "n": len(points),
        "patients": len({name for name, *_ in points}), "bias": bias, "sd": sd, **ends, **limits,
        **edges, "points": [
            {"patient": name, "lesion": None, "truth": t, "prediction": p} for name, t, p in points
        ],
    }  # fmt: skip


@pytest.fixture
def full(good: dict[str, Any]) -> dict[str, Any]:
    """An evaluation with everything in it."""
    good["lesions"] = [lesion("p1", 1, 12.0, 4.0), lesion("p1", 2, 5.0, 6.0), lesion("p2", 1, 8, 7)]
    good["detection"] = [
        {"name": MODEL, "low_ml": 0, "high_ml": None, "lesions": 3, "found": 2,
         "sensitivity": 2 / 3, "low": 0.21, "high": 0.94, "false_positives": 4, "patients": 2},
        {"name": MODEL, "low_ml": 1, "high_ml": 4, "lesions": 0, "found": 0, "sensitivity": None,
         "low": None, "high": None, "false_positives": 1, "patients": 2},
    ]  # fmt: skip
    means = [("p1", 1.0, 0.8), ("p2", 2.0, 1.4), ("p3", 1.5, 1.1)]
    good["agreement"] = [
        agreement("region", "body", "suv_mean", means),
        agreement("lesion", "lesions", "suv_max", [("p1", 12, 4), ("p1", 5, 6), ("p2", 8, 7)]),
    ]
    good["comparisons"] = [
        {"model": MODEL, "reference": reference, "region": "body", "metric": "suv_mae",
         "difference": d, "low": d - 0.1, "high": d + 0.1, "p": p, "p_holm": p, "n": 12,
         "least_difference": 0.08, "verdict": verdict}
        for reference, d, p, verdict in (
            ("zero", -0.6, 0.0004, "better"), ("Stage02 / stage 1", 0.02, 0.5, "undecided"),
        )
    ]  # fmt: skip
    spoilt = "Stage02 / stage 1 bears a checkerboard that the real PET does not: …"
    good["warnings"] = [*good["warnings"], {"code": "LATTICE", "detail": spoilt}]
    for name, blur, lattice in ((MODEL, 6.5, 4.0), ("Stage02 / stage 1", -1.0, 22.0)):
        seen = {
            "blur_mm": blur,
            "detail_mm": 13.0,
            "lattice": lattice,
            "noise_texture": 0.7,
            "noise_ratio": 0.1,
        }
        good["rows"] += [
            {"name": name, "region": "body", "metric": key, "value": v, "low": None, "high": None,
             "n": 12}
            for key, v in seen.items()
        ]  # fmt: skip
    good["worst_slices"] = [
        {"study": "s1", "patient": "p1", "slice": 8, "suv_mae": 1.25, "suv_bias": -1.1,
         "truth_suv": 2.5}
    ]  # fmt: skip
    return good


@pytest.fixture
def read(make_run: MakeRun) -> Read:
    def reader(document: dict[str, Any]) -> Evaluation:
        evaluation = read_run(make_run(evaluation=document)).evaluation
        assert evaluation is not None
        return evaluation

    return reader


def write_spectra(path: Path, names: list[str]) -> None:
    """A model whose power falls faster than the real PET's, and a lattice of period 2."""
    mm, px = np.linspace(0, 0.2, 41, dtype=np.float32), np.linspace(0, 0.5, 65, dtype=np.float32)
    real = np.exp(-40 * mm)
    flat = np.zeros_like(px)
    peak = np.where(px >= 0.5, 30.0, 0.0).astype(np.float32)
    np.savez_compressed(
        path,
        name=np.array(names),
        frequency_per_mm=mm,
        power_real=real,
        power=np.stack([real * np.exp(-30 * mm)] * len(names)),
        transfer=np.stack([np.exp(-15 * mm)] * len(names)),
        noise_frequency_per_mm=mm,
        noise_real=real,
        noise=np.full((len(names), mm.size), np.nan, np.float32),
        lattice_frequency_per_px=px,
        lattice_real_x=flat,
        lattice_real_y=flat,
        lattice_x=np.stack([peak] * len(names)),
        lattice_y=np.stack([flat] * len(names)),
    )


def test_lesions_come_worst_first_with_their_share(read: Read, full: dict[str, Any]) -> None:
    panel = lesion_panel(read(full), MODEL)
    assert panel is not None
    assert [one.change for one in panel.lesions] == ["−8.0", "+1.0", "−1.0"]
    assert panel.lesions[0].slice == 5  # counted from 1
    assert panel.lesions[0].clipped
    shares = {one.label: one.share for one in panel.uptake}
    assert shares == {"SUVmax": "68 %", "SUVmean": "68 %"}  # 17 of 25; nothing else is known
    whole, empty = panel.sizes
    assert (whole.sensitivity, whole.ends, whole.invented) == ("67 %", "21–94 %", 4)
    assert (empty.label, empty.sensitivity) == ("1 to 4 mL", "n/a")


@pytest.mark.slow
def test_what_is_averaged_over_voxels_is_told_from_what_is_over_slices(
    make_run: MakeRun, full: dict[str, Any], tmp_path: Path
) -> None:
    page, card = tmp_path / "page.html", tmp_path / "card.md"
    write_report(make_run(evaluation=full), page, card)
    said = page.read_text(encoding="utf-8")
    assert "Means over patients, a patient&#39;s over slices." in said
    assert "over its voxels, not slice by slice as the scores are" in said
    assert "over the region's voxels, not slice by slice" in card.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_lesion_beyond_the_window_is_not_called_out_of_reach(
    make_run: MakeRun, full: dict[str, Any], tmp_path: Path
) -> None:
    page = write_report(make_run(evaluation=full), tmp_path / "page.html")
    said = page.read_text(encoding="utf-8")
    assert "beyond the SUV window, of which training in it sees nothing" in said
    assert "no output can reach" not in said


def test_the_panel_says_that_some_lesions_must_stay_unfound(
    read: Read, full: dict[str, Any]
) -> None:
    panel = lesion_panel(read(full), MODEL)
    assert panel is not None
    assert "A lesion without a sign on the CT stays unfound, and must" in panel.sentence


@pytest.mark.parametrize(("source", "word"), [("mask", "lesion"), ("threshold", "hot spot")])
def test_what_nobody_marked_is_no_lesion(
    read: Read, full: dict[str, Any], source: str, word: str
) -> None:
    for row in full["lesions"]:
        row["source"] = source
    panel = lesion_panel(read(full), MODEL)
    assert panel is not None
    assert panel.sentence.startswith(f"3 {word}s of ")


@pytest.mark.parametrize(("clipped", "said"), [(1, "1 reaches beyond"), (2, "2 reach beyond")])
def test_lesions_beyond_the_window_are_counted(
    read: Read, full: dict[str, Any], clipped: int, said: str
) -> None:
    for number, row in enumerate(one for one in full["lesions"] if one["name"] == MODEL):
        row["clipped"] = number < clipped
    panel = lesion_panel(read(full), MODEL)
    assert panel is not None
    assert f"{said} the SUV window" in panel.sentence


def test_a_lesions_mark_stands_where_its_uptake_is(read: Read, full: dict[str, Any]) -> None:
    panel = lesion_panel(read(full), MODEL)
    assert panel is not None
    chart = panel.charts[0]
    plane = chart.plane
    expected = {(plane.x(t), plane.y(p)) for t, p in ((12, 4), (5, 6), (8, 7))}
    assert {(one.x, one.y) for one in chart.spots} == expected
    assert [one.kind for one in chart.spots] == ["found", "found", "missed"]
    assert plane.x(6) - plane.x(0) == pytest.approx(plane.x(12) - plane.x(6), abs=0.2)


def test_bias_and_limits_are_drawn_at_their_height(read: Read, full: dict[str, Any]) -> None:
    panel = bland_altman(read(full), MODEL)
    assert panel is not None
    assert panel.has_limits
    assert panel.has_bands
    chart, of_lesions = panel.charts
    bias = np.mean([-0.2, -0.6, -0.4])
    limit = 1.96 * np.std([-0.2, -0.6, -0.4], ddof=1)
    heights = [float(re.findall(r"M\S+ (\S+)H", stroke.path)[0]) for stroke in chart.strokes]
    levels = (0.0, bias, bias - limit, bias + limit)
    assert heights == pytest.approx([chart.plane.y(v) for v in levels], abs=0.1)
    assert len(chart.bands) == 3
    assert "−0.40 SUV on average" in chart.summary
    assert of_lesions.title == "Lesions: SUVmax"
    ends = (bias, bias - limit, bias + limit)
    said = "3 patients: bias {:.2f}, limits {:.2f} to {:.2f}".format(*ends).replace("-", "−")
    assert chart.numbers == said  # points of many patients cover the words in the drawing
    assert "lesions in" in of_lesions.numbers
    assert "SUV" in chart.y_label


def test_labels_of_few_patients_do_not_lie_over_each_other(
    read: Read, full: dict[str, Any]
) -> None:
    """With two patients the bands are wide, and bias and limits a few pixels apart."""
    full["agreement"] = [agreement("region", "body", "suv_mean", [("p1", 1, 0.9), ("p2", 2, 1.88)])]
    full["agreement"][0] |= {"lower_low": -3.0, "upper_high": 3.0}
    panel = bland_altman(read(full), MODEL)
    assert panel is not None
    notes = sorted(panel.charts[0].notes, key=lambda note: note.x)
    assert max(note.y for note in notes) - min(note.y for note in notes) < 25
    widths = [7 * len(note.text) for note in notes]  # px, of the larger letters of a phone
    assert [note.anchor for note in notes] == ["start", "middle", "end"]
    assert notes[0].x + widths[0] < notes[1].x - widths[1] / 2
    assert notes[1].x + widths[1] / 2 < notes[2].x - widths[2]


@pytest.mark.slow
def test_no_word_lies_over_a_patient_and_none_reads_as_a_sum(
    make_run: MakeRun, full: dict[str, Any]
) -> None:
    """A label's halo hid lesions, and "+1.96 SD −0.37" read as a subtraction."""
    run = make_run(evaluation=full)
    page = write_report(run, run.parent / "report.html").read_text("utf-8")
    [drawing] = re.findall(r"<svg [^>]*chart-limits-lesion.*?</svg>", page, re.DOTALL)
    assert re.search(r">\+1\.96 SD: \S+</text>", drawing)
    assert drawing.rindex("</text>") < drawing.index('class="spot')


def test_one_patient_gives_a_bias_and_no_limits(read: Read, full: dict[str, Any]) -> None:
    one = agreement("region", "body", "suv_mean", [("p1", 1.0, 0.8), ("p2", 1, 1)])
    one |= {"n": 1, "patients": 1, "points": one["points"][:1], "bias": -0.2}
    kept = ("name", "of", "region", "metric", "n", "patients", "bias", "points")
    full["agreement"] = [{key: one[key] for key in kept}]
    panel = bland_altman(read(full), MODEL)
    assert panel is not None
    assert not panel.has_limits
    assert "limits of agreement need two values" in panel.charts[0].summary
    assert [s.style for s in panel.charts[0].strokes] == ["zero", "bias"]


def test_comparisons_say_what_is_decided(read: Read, full: dict[str, Any]) -> None:
    full["warnings"] = [{"code": "LOW-POWER", "detail": "Twelve could show 0.08."}]
    panel = comparisons_of(read(full), MODEL)
    assert panel is not None
    assert panel.sentence == "Of 2 comparisons: 1 better, 1 undecided."
    assert panel.power == "Twelve could show 0.08."
    assert [one.least for one in panel.fields[0].contests] == ["0.080", "0.080"]
    (zero, [first]), (stage, [second]) = panel.first
    assert (zero, stage) == ("All-zero", "Stage 1")
    assert first is not None
    assert second is not None
    assert (first.difference, first.p, first.least) == ("−0.600", "< 0.001", "0.080")
    assert second.difference == "+0.020"


def test_too_few_patients_could_have_detected_nothing(read: Read, full: dict[str, Any]) -> None:
    """Of five, p cannot fall below 0.06, whatever their difference."""
    for one in full["comparisons"]:
        one["n"] = 5
    panel = comparisons_of(read(full), MODEL)
    assert panel is not None
    assert [one.least for one in panel.fields[0].contests] == ["n/a", "n/a"]


def test_patients_come_in_the_order_of_their_error(read: Read, full: dict[str, Any]) -> None:
    errors = {"patient2": 0.9, "patient7": 0.8}
    for row in full["patients"]:
        if (row["name"], row["region"], row["metric"]) == (MODEL, "body", "suv_mae"):
            row["value"] = errors.get(row["patient"], 0.1)
    full["lesions"][0]["patient"] = "patient2"
    panel = worst_cases(read(full), MODEL)
    assert panel is not None
    assert [case.patient for case in panel.cases[:2]] == ["patient2", "patient7"]
    assert panel.cases[0].beaten  # train-mean has 0.52 there
    assert not panel.cases[2].beaten
    assert panel.cases[0].lesions == "0 of 1"
    assert panel.cases[1].bar == pytest.approx(80 * 0.8 / 0.9, abs=0.1)
    assert panel.slices[0].slice == 9
    assert panel.slices[0].cells == ("1.25", "−1.10", "2.50")


def test_each_stage_has_its_blur_and_its_lattice(make_run: MakeRun, full: dict[str, Any]) -> None:
    folder = make_run(evaluation=full)
    write_spectra(folder / "evaluation" / "spectra.npz", [MODEL, "Stage02 / stage 1"])
    run = read_run(folder)
    panel = artefact_panel(run.evaluation, MODEL, run.spectra)
    assert panel is not None
    assert [look.name for look in panel.looks] == [MODEL, "Stage 1"]
    last, first = panel.looks
    assert (last.blur.value, last.lattice.flagged) == ("6.5", False)
    assert (last.blur.bar, last.detail.value, last.detail.bar) == (40.0, "13.0", 80.0)
    assert (first.blur.value, first.blur.bar, first.lattice.flagged) == ("−1.0", 0.0, True)
    assert [chart.key for chart in panel.charts] == [
        "spectrum-power", "spectrum-transfer", "spectrum-noise", "lattice-x", "lattice-y",
    ]  # fmt: skip
    # exp(−15 f) falls below a half from 0.05 per mm on
    assert "Stage02 has less than half of it of 20 mm and finer" in panel.charts[1].summary
    assert "Stage02: 0, 0, 0, 30 dB" in panel.charts[3].summary
    assert [stroke.style for stroke in panel.charts[2].strokes] == ["real"]  # NaN is not drawn


def test_a_mean_of_fewer_patients_says_of_how_many(read: Read, full: dict[str, Any]) -> None:
    detail = next(
        row for row in full["rows"] if (row["name"], row["metric"]) == (MODEL, "detail_mm")
    )
    detail |= {"low": 12.0, "high": 14.0, "n": 11}
    panel = artefact_panel(read(full), MODEL, None)
    assert panel is not None
    assert (panel.looks[0].detail.ends, panel.looks[0].blur.ends) == ("12.0–14.0; n = 11", "")


@pytest.mark.slow
def test_every_drawing_is_well_formed_and_has_words(
    make_run: MakeRun, full: dict[str, Any], tmp_path: Path
) -> None:
    run = make_run(evaluation=full)
    write_spectra(run / "evaluation" / "spectra.npz", [MODEL, "Stage02 / stage 1"])
    text = write_report(run, tmp_path / "page.html").read_text(encoding="utf-8")
    drawings = [ET.fromstring(one) for one in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    assert len(drawings) > 20
    for svg in drawings:
        described = svg.get("aria-label") or svg.findtext("desc")
        assert svg.get("aria-hidden") == "true" or described
    paths = [path.get("d") or "" for svg in drawings for path in svg.iter("path")]
    assert not any("nan" in path or "inf" in path for path in paths)


@pytest.mark.slow
def test_hostile_names_stay_text_in_every_panel(
    make_run: MakeRun, full: dict[str, Any], tmp_path: Path
) -> None:
    planted = "<b onload=x>\"'&"
    full["lesions"][0] |= {"patient": planted, "source": planted}
    full["agreement"][0] |= {"region": planted}
    full["agreement"][0]["points"][0]["patient"] = planted
    full["comparisons"][0] |= {"reference": planted, "metric": planted, "verdict": planted}
    full["worst_slices"][0]["study"] = planted
    for row in full["patients"]:
        row["patient"] = planted if row["patient"] == "patient0" else row["patient"]
    run = make_run(evaluation=full)
    write_spectra(run / "evaluation" / "spectra.npz", [MODEL, planted])
    text = write_report(run, tmp_path / "page.html").read_text(encoding="utf-8")
    assert planted not in text
    assert text.count("&lt;b onload=x&gt;") >= 6


@pytest.mark.slow
def test_damaged_records_leave_a_page(
    make_run: MakeRun, full: dict[str, Any], tmp_path: Path
) -> None:
    for kind in ("lesions", "detection", "agreement", "comparisons", "worst_slices"):
        full[kind] = [{"name": MODEL, "model": MODEL}, 3, {}, *full[kind]]
    page = write_report(make_run(evaluation=full), tmp_path / "page.html")
    assert "Worst cases first" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_an_older_evaluation_lacks_is_said(
    make_run: MakeRun, good: dict[str, Any], tmp_path: Path
) -> None:
    text = write_report(make_run(evaluation=good), tmp_path / "p.html").read_text(encoding="utf-8")
    for words in ("holds no comparisons", "No lesion was measured", "holds no agreement"):
        assert words in text
    assert "The evaluation looked for none" in text
    assert "the real PET shows no hot spot" not in text


def test_a_line_is_broken_below_the_drawing(make_run: MakeRun, full: dict[str, Any]) -> None:
    folder = make_run(evaluation=full)
    path = folder / "evaluation" / "spectra.npz"
    write_spectra(path, [MODEL])
    with np.load(path) as held:
        arrays = dict(held)
    arrays["power"][0, 10:14] = 1e-12
    np.savez_compressed(path, **arrays)
    run = read_run(folder)
    panel = artefact_panel(run.evaluation, MODEL, run.spectra)
    assert panel is not None
    lines = {stroke.style: stroke.path for stroke in panel.charts[0].strokes}
    assert lines["model"].count("M") == 2
    assert lines["real"].count("M") == 1
