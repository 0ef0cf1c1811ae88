"""Which files are cases, and which belong together."""

import zipfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk

from petcast.dicom.scan import Scan, scan
from petcast.errors import DataError, UsageError
from petcast.evaluate.cases import Case, Role, case_name, find_cases, match


def names(folder: Path, role: Role) -> list[str]:
    with ExitStack() as stack:
        return [case.keys[0] for case in find_cases(folder, role, stack)]


def touch(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


@pytest.mark.parametrize(
    ("file", "name", "word"),
    [
        ("p01.nii.gz", "p01", ""),
        ("p01_pet.nii.gz", "p01", "pet"),
        ("p01_PET_pred.nii", "p01", "pred"),
        ("p-01.ct.nii.gz", "p-01", "ct"),
        ("siemens_b.nii.gz", "siemens_b", ""),
        ("p01/SUV.nii.gz", "p01", "suv"),
        ("p01/CTres.nii.gz", "p01", "ctres"),
        ("concept.nii.gz", "concept", ""),
    ],
)
def test_a_name_is_taken_apart(file: str, name: str, word: str) -> None:
    assert case_name(Path("data") / file) == (name, word)


def test_a_mixed_folder_gives_each_role_its_own(tmp_path: Path) -> None:
    files = ["a_ct", "a_pet", "a_seg", "b_ct", "b_pet", "a_pred", "b_pred"]
    folder = touch(tmp_path, *(f"{file}.nii.gz" for file in files), "notes.txt")
    roles: tuple[Role, ...] = ("truth", "prediction", "ct")
    assert [names(folder, role) for role in roles] == [["a", "b"]] * 3
    assert names(folder, "lesions") == ["a"]


@pytest.mark.parametrize("ending", ["nii.gz", "npy", "png"])
def test_what_macos_leaves_beside_files_makes_no_case(tmp_path: Path, ending: str) -> None:
    """Each case was there twice, the second UNUSABLE."""
    folder = touch(tmp_path, f"a.{ending}", f"._a.{ending}", f"b.{ending}", f"._b.{ending}")
    assert names(folder, "truth") == names(folder, "prediction") == ["a", "b"]


def test_what_a_killed_predict_left_half_written_makes_no_case(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a_pred.nii.gz", ".partial-4711-b_pred.nii.gz")
    assert names(folder, "prediction") == ["a"]


def test_a_folder_a_case_is_searched_through(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a/CT.nii.gz", "a/SUV.nii.gz", "b/CT.nii.gz", "b/SUV.nii.gz")
    assert names(folder, "truth") == names(folder, "ct") == ["a", "b"]


def test_two_files_of_one_case_are_refused(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a_pet.nii.gz", "a_suv.nii.gz", "b_pet.nii.gz")
    with ExitStack() as stack:
        a, b = find_cases(folder, "truth", stack)
    with pytest.raises(DataError, match=f"case {a.name} has 2 files, such as PET and SUV"):
        a.load()
    with pytest.raises(DataError, match="cannot be read"):
        b.load()


def test_a_folder_of_masks_is_no_pet(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no PET"):
        names(touch(tmp_path, "a_seg.nii.gz"), "truth")


def test_a_missing_path_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        names(tmp_path / "nowhere", "truth")


def test_one_and_one_belong_together_whatever_their_names(tmp_path: Path) -> None:
    folder = touch(tmp_path, "real.nii.gz", "output_17.nii.gz")
    with ExitStack() as stack:
        one, other = (
            find_cases(folder / file, "truth", stack)
            for file in ("real.nii.gz", "output_17.nii.gz")
        )
    pairs, alone = match(one, other)
    assert len(pairs) == 1
    assert alone == []


def test_names_without_partner_are_listed(tmp_path: Path) -> None:
    truth = touch(tmp_path / "t", "a.nii.gz", "b.nii.gz")
    predictions = touch(tmp_path / "p", "b_pred.nii.gz", "c_pred.nii.gz")
    with ExitStack() as stack:
        pairs, alone = match(
            find_cases(truth, "truth", stack), find_cases(predictions, "prediction", stack)
        )
    assert [(one.keys, other.keys) for one, other in pairs] == [(("b",), ("b",))]
    assert len(alone) == 2


def test_no_common_name_is_an_error_that_counts_both_sides(tmp_path: Path) -> None:
    truth = touch(tmp_path / "t", "a.nii.gz", "b.nii.gz")
    predictions = touch(tmp_path / "p", "c.nii.gz")
    with (
        ExitStack() as stack,
        pytest.raises(UsageError, match=r"truth \(2 cases\) and the predictions \(1\)"),
    ):
        match(find_cases(truth, "truth", stack), find_cases(predictions, "prediction", stack))
    with ExitStack() as stack, pytest.raises(UsageError, match="such as a and c;"):
        match(
            find_cases(truth, "truth", stack, named=True),
            find_cases(predictions, "prediction", stack, named=True),
        )


def test_files_are_matched_as_nnunet_and_monai_name_them(tmp_path: Path) -> None:
    truth = touch(tmp_path / "t", "case_01.nii.gz", "case_02.nii.gz")
    cast = touch(tmp_path / "p", "case_01_trans.nii.gz", "case_02_trans.nii.gz")
    cts = touch(tmp_path / "c", "case_01_0000.nii.gz", "case_02_0000.nii.gz")
    with ExitStack() as stack:
        truths = find_cases(truth, "truth", stack)
        found, alone = match(truths, find_cases(cast, "prediction", stack))
        of_ct, ct_alone = match(truths, find_cases(cts, "ct", stack), "CTs")
    assert (len(found), len(of_ct), alone, ct_alone) == (2, 2, [], [])


def dicom(study: str, patient: str) -> Case:
    return Case(patient, (study, patient), lambda: pytest.fail("nothing is read to match"))


def test_studies_are_matched_before_patients() -> None:
    first, second = dicom("s1", "p"), dicom("s2", "p")
    pairs, alone = match([first, second], [dicom("s2", "p"), dicom("s3", "q")])
    assert [(one.keys[0], other.keys[0]) for one, other in pairs] == [("s2", "s2")]
    assert alone == ["real p", "predicted q"]


def test_a_patient_s_only_prediction_of_another_study_is_its_partner() -> None:
    pairs, _ = match([dicom("s1", "p"), dicom("s2", "q")], [dicom("s9", "q"), dicom("s8", "r")])
    assert [(one.name, other.keys[0]) for one, other in pairs] == [("q", "s9")]


def test_two_predictions_of_one_study_are_refused() -> None:
    with pytest.raises(UsageError, match="1 volume in the truth and 2 in the predictions"):
        match([dicom("s1", "p")], [dicom("s1", "p"), dicom("s1", "p")])


def test_two_studies_of_one_patient_are_two_cases_and_one_patient(
    tiny_cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scan([tiny_cohort])
    whose = dict(zip([s.id for s in found.studies], "aabc", strict=True))
    studies = [
        replace(study, pet=study.pet and replace(study.pet, patient_id=whose[study.id]))
        for study in found.studies
    ]
    again = replace(found, studies=studies)

    def scanned(folders: list[Path]) -> Scan:
        return again

    monkeypatch.setattr("petcast.dicom.scan.scan", scanned)
    with ExitStack() as stack:
        cases = find_cases(tiny_cohort, "truth", stack)
    assert [case.whose for case in cases] == ["a", "a", "b", "c"]
    assert [case.name for case in cases] == [found.studies[0].id, found.studies[1].id, "b", "c"]


@pytest.mark.slow
def test_a_case_in_a_zip_in_the_folder_can_be_loaded_later(
    tiny_cohort: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for path in sorted(tiny_cohort.rglob("*.dcm")):
            archive.write(path, str(path.relative_to(tiny_cohort)))
    with ExitStack() as stack:
        cases = find_cases(tmp_path, "truth", stack)
        assert cases[0].load().voxels.any()


@pytest.mark.slow
def test_a_relative_folder_gives_the_same_keys(
    tiny_cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_cohort.parent)
    with ExitStack() as stack:
        keys = [
            [case.keys for case in find_cases(folder, "truth", stack)]
            for folder in (tiny_cohort, Path(tiny_cohort.name))
        ]
    assert keys[0] == keys[1]


def test_a_case_and_its_errors_carry_no_name_below_what_was_typed(tmp_path: Path) -> None:
    folder = touch(tmp_path, "Doe_Jane_pet.nii.gz")
    with ExitStack() as stack:
        [case] = find_cases(folder, "truth", stack)
    assert "Jane" not in case.name
    with pytest.raises(DataError, match=f"case {case.name} cannot be read") as error:
        case.load()
    assert "Jane" not in str(error.value)


def test_a_file_of_several_volumes_is_refused_by_its_case(tmp_path: Path) -> None:
    volumes = sitk.JoinSeries([sitk.Image(8, 8, 4, sitk.sitkFloat32)] * 2)
    sitk.WriteImage(volumes, str(tmp_path / "Doe_Jane.nii.gz"))
    with ExitStack() as stack:
        [case] = find_cases(tmp_path, "prediction", stack)
    with pytest.raises(DataError, match=f"{tmp_path}, case {case.name}: expected one 3-D") as error:
        case.load()
    assert "Jane" not in str(error.value)
