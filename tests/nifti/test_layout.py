"""Files → cases by names: which belong together, whose they are, and what is left over."""

from pathlib import Path

import pytest

from petcast.nifti.layout import Cohort, find_cases
from petcast.refusal import Reason

SALT = "tests"


def found(folder: Path, *names: str, given: tuple[str, ...] = ("",)) -> Cohort:
    """What files of these names make; they are empty, since names alone count."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return find_cases([folder / one for one in given], SALT)


def test_the_folder_of_the_pairs_is_left_alone_unless_it_is_asked_for(tmp_path: Path) -> None:
    found(tmp_path, "a_ct.nii", "a_pet.nii", "pairs/b_ct.nii", "pairs/b_pet.nii")
    pairs = tmp_path / "pairs"
    assert len(find_cases([tmp_path], SALT).cases) == 2
    assert len(find_cases([tmp_path], SALT, skip=pairs).cases) == 1
    assert len(find_cases([pairs], SALT, skip=pairs).cases) == 1
    assert len(find_cases([tmp_path], SALT, skip=tmp_path / "absent").cases) == 2


def test_what_macos_leaves_beside_files_makes_no_case(tmp_path: Path) -> None:
    """Each case was there twice, the second damaged."""
    names = ("s/CT.nii.gz", "s/SUV.nii.gz", "p_ct.nii.gz", "p_pet.nii.gz")
    left = [str(Path(name).with_name(f"._{Path(name).name}")) for name in names]
    cohort = found(tmp_path, *names, *left)
    assert len(cohort.cases) == 2
    assert (cohort.refused, cohort.strays) == ((), ())


def test_what_a_killed_command_left_half_written_makes_no_case(tmp_path: Path) -> None:
    names = ("p_ct.nii.gz", "p_pet.nii.gz", ".partial-4711-p_pet.nii.gz")
    cohort = found(tmp_path, *names)
    assert (len(cohort.cases), cohort.refused, cohort.strays) == (1, (), ())


def files_of(cohort: Cohort, root: Path) -> list[tuple[str, str, str | None]]:
    def told(path: Path | None) -> str | None:
        return None if path is None else path.relative_to(root).as_posix()

    return sorted((told(c.ct), told(c.pet), told(c.lesions)) for c in cohort.cases)


@pytest.mark.parametrize(
    ("names", "ct", "pet", "lesions"),
    [
        (("p_ct.nii.gz", "p_pet.nii.gz"), "p_ct.nii.gz", "p_pet.nii.gz", None),
        (("p_CT.nii", "p-PT.NII.GZ", "p.seg.nii"), "p_CT.nii", None, None),
        (
            ("p_ct.nii", "p_ctres.nii", "p_pet.nii", "p_suv.nii", "p_seg.nii"),
            "p_ct.nii",
            "p_suv.nii",
            "p_seg.nii",
        ),
        (("p_ctres.nii", "p_pt.nii"), "p_ctres.nii", "p_pt.nii", None),
        (("s/CTres.nii.gz", "s/SUV.nii.gz"), "s/CTres.nii.gz", "s/SUV.nii.gz", None),
        (
            ("s/CT.nii", "s/CTres.nii", "s/SUV.nii", "s/PET.nii", "s/SEG.nii"),
            "s/CT.nii",
            "s/SUV.nii",
            "s/SEG.nii",
        ),
    ],
)
def test_files_of_a_case_are_told_by_their_last_word(
    tmp_path: Path, names, ct, pet, lesions
) -> None:
    if pet is None:  # one case, whatever separates its words
        names, pet, lesions = names[:1] + names[1:], "p-PT.NII.GZ", "p.seg.nii"
    cohort = found(tmp_path, *names)
    assert files_of(cohort, tmp_path) == [(ct, pet, lesions)]
    assert not cohort.refused
    assert not cohort.strays


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("p_ct.nii.gz",), Reason.NO_PET),
        (("p_pet.nii.gz",), Reason.NO_CT),
        (("p_seg.nii.gz",), Reason.NO_CT),
        (("s/CT.nii.gz", "s/PET.nii.gz", "s/SEG.nii.gz"), Reason.NOT_SUV),
        (("p_ct.nii.gz", "p_ct.nii", "p_pet.nii"), Reason.NIFTI_NAME),
        (("p_ct.nii", "p_pet.nii", "p_seg.nii", "p-seg.nii"), Reason.NIFTI_NAME),
    ],
)
def test_an_incomplete_case_is_refused_for_what_it_lacks(tmp_path: Path, names, reason) -> None:
    cohort = found(tmp_path, *names)
    assert [refusal.reason for _, _, refusal in cohort.refused] == [reason]
    assert not cohort.cases


def test_a_file_of_no_known_word_is_a_stray_and_others_are_nobodys(tmp_path: Path) -> None:
    cohort = found(tmp_path, "scan.nii.gz", "notes.txt", "ct.dcm", "p_ctx.nii")
    assert sorted(path.name for path in cohort.strays) == ["p_ctx.nii", "scan.nii.gz"]
    assert not cohort.cases
    assert not cohort.refused


@pytest.mark.parametrize(
    ("folders", "patients"),
    [
        (("a", "b"), 2),
        (("a/one", "a/two"), 1),
        (("deep/a/one", "deep/a/two", "deep/b/one"), 2),
    ],
)
def test_studies_of_a_patients_folder_are_one_patients(tmp_path: Path, folders, patients) -> None:
    names = [f"{folder}/{word}.nii.gz" for folder in folders for word in ("CT", "SUV")]
    cohort = found(tmp_path, *names)
    assert len(cohort.cases) == len(folders)
    assert len({case.id for case in cohort.cases}) == len(folders)
    assert len({case.patient for case in cohort.cases}) == patients


def test_sessions_of_a_bids_subject_are_one_patients(tmp_path: Path) -> None:
    stems = ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1")
    names = [f"{stem}_{word}.nii.gz" for stem in stems for word in ("ct", "pet")]
    cohort = found(tmp_path, *names)
    assert len(cohort.cases) == 3
    assert len({case.patient for case in cohort.cases}) == 2


def test_equal_names_in_two_folders_stay_two_cases_of_one_patient(tmp_path: Path) -> None:
    names = [f"{site}/c1/{word}.nii" for site in ("x", "y") for word in ("CT", "SUV")]
    cohort = found(tmp_path, *names, given=("x", "y"))
    assert len({case.id for case in cohort.cases}) == 2
    assert len({case.patient for case in cohort.cases}) == 1


def test_a_folder_given_twice_counts_once(tmp_path: Path) -> None:
    cohort = found(tmp_path, "s/a_ct.nii", "s/a_pet.nii", given=("", "s", "s/a_ct.nii"))
    assert len(cohort.cases) == 1


def test_two_cases_whose_masks_are_links_to_one_file_keep_both(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    names = [f"{case}_{word}.nii" for case in "ab" for word in ("ct", "pet")]
    for case in "ab":
        (tmp_path / f"{case}_seg.nii").symlink_to(tmp_path / "empty")
    assert all(case.lesions for case in found(tmp_path, *names).cases)


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "again").symlink_to(tmp_path)
    assert len(found(tmp_path, "s/CT.nii", "s/SUV.nii").cases) == 1


def test_ids_name_nobody_and_follow_the_key(tmp_path: Path) -> None:
    [case] = found(tmp_path, "Doe_Jane_ct.nii", "Doe_Jane_pet.nii").cases
    [other] = find_cases([tmp_path], "another key").cases
    assert "doe" not in f"{case.id}{case.patient}".lower()
    assert {case.id, case.patient}.isdisjoint({other.id, other.patient})
