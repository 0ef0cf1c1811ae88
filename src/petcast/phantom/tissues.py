"""What each tissue of one patient looks like in CT and PET."""

from dataclasses import dataclass

import numpy as np

from petcast.phantom.shapes import Tissue

AIR = Tissue(-1000, 0.0)
MATTRESS = Tissue(-930, 0.0)
CARBON = Tissue(-80, 0.0)
FOAM = Tissue(-960, 0.0)
GAS = Tissue(-950, 0.15)
CORTICAL_BONE = Tissue(760, 0.45)
CARTILAGE = Tissue(105, 0.5)
TRACHEAL_AIR = Tissue(-990, 0.25)


@dataclass(frozen=True)
class Tissues:
    """One patient's tissues.

    Attributes:
        skin: The outermost 2 mm.
        fat: Under the skin and between organs.
        muscle: Skeletal muscle.
        lung: Parenchyma in the middle of the lung, breathing quietly.
        lung_gradient_hu: Parenchyma of the back minus that of the front, in HU.
        vessel_wall: Walls of airways and gullet.
        blood: Of the heart and the great vessels.
        lung_blood: Of the vessels inside the lungs, too small for the heart's SUV to be seen.
        myocardium: Wall of the left ventricle.
        right_wall: Wall of the right ventricle.
        liver: Its parenchyma.
        liver_blood: Of the liver's veins.
        spleen: Its parenchyma.
        kidney: Cortex, with some urine.
        stomach: Wall and contents.
        marrow: Spongy bone of the vertebrae.
        rib_marrow: Spongy bone of ribs and sternum.
        disc: Between the vertebrae.
        cord: In the spinal canal.
        gland: Of the breast.
        thyroid: Iodine makes it bright in CT.
    """

    skin: Tissue
    fat: Tissue
    muscle: Tissue
    lung: Tissue
    lung_gradient_hu: float
    vessel_wall: Tissue
    blood: Tissue
    lung_blood: Tissue
    myocardium: Tissue
    right_wall: Tissue
    liver: Tissue
    liver_blood: Tissue
    spleen: Tissue
    kidney: Tissue
    stomach: Tissue
    marrow: Tissue
    rib_marrow: Tissue
    disc: Tissue
    cord: Tissue
    gland: Tissue
    thyroid: Tissue


def draw_tissues(rng: np.random.Generator, *, old: bool) -> Tissues:
    """Draw one patient's tissues.

    Args:
        rng: The patient's stream.
        old: Whether the bones have lost calcium and the lungs elasticity.

    Returns:
        CT numbers with and without contrast agent, uptake after about an hour of rest.
    """
    contrast = bool(rng.random() < 0.25)
    blood_hu = rng.uniform(120, 165) if contrast else rng.uniform(36, 46)
    liver_hu = rng.uniform(95, 115) if contrast else rng.uniform(42, 64)
    blood_suv = rng.uniform(1.4, 2.0)
    hot_heart = bool(rng.random() < 0.55)
    heart_suv = rng.uniform(4, 12) if hot_heart else blood_suv * rng.uniform(0.7, 1.1)
    marrow_hu = rng.uniform(120, 180) if old else rng.uniform(180, 260)
    marrow_suv = rng.uniform(0.9, 1.5)
    lung_hu = rng.uniform(-880, -845) if old else rng.uniform(-850, -805)
    return Tissues(
        skin=Tissue(10, 0.45),
        fat=Tissue(rng.uniform(-112, -98), rng.uniform(0.2, 0.35)),
        muscle=Tissue(rng.uniform(44, 60), rng.uniform(0.55, 0.85)),
        lung=Tissue(lung_hu, rng.uniform(0.4, 0.55)),
        lung_gradient_hu=rng.uniform(35, 90),
        vessel_wall=Tissue(25, 0.9),
        blood=Tissue(blood_hu, blood_suv),
        lung_blood=Tissue(blood_hu, blood_suv * 0.8),
        myocardium=Tissue(blood_hu + 6 if not contrast else 95, heart_suv),
        right_wall=Tissue(48 if not contrast else 90, blood_suv + 0.25 * (heart_suv - blood_suv)),
        liver=Tissue(liver_hu, rng.uniform(2.0, 2.7)),
        liver_blood=Tissue(liver_hu + (35 if contrast else -12), blood_suv),
        spleen=Tissue(liver_hu - rng.uniform(2, 12), rng.uniform(1.6, 2.1)),
        kidney=Tissue(34 if not contrast else 150, rng.uniform(2.5, 4.5)),
        stomach=Tissue(rng.uniform(20, 40), rng.uniform(1.0, 2.2)),
        marrow=Tissue(marrow_hu, marrow_suv),
        rib_marrow=Tissue(marrow_hu * 0.9, marrow_suv * 0.75),
        disc=Tissue(80, 0.6),
        cord=Tissue(28, 0.9),
        gland=Tissue(20, 0.7),
        thyroid=Tissue(rng.uniform(90, 120), rng.uniform(1.1, 1.8)),
    )
