"""Random numbers and identifiers that depend on the seed, the patient and a purpose, only.

Each purpose draws from a stream of its own, so that a change in one (more lesions, a larger
CT) leaves the others as they were, and patient 3 is the same in a cohort of 4 and of 400.
"""

import uuid
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from pydicom.uid import UID

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "petcast phantom")


@dataclass(frozen=True)
class Streams:
    """The random streams of one patient.

    Attributes:
        seed: Of the cohort.
        patient: The patient's number in the cohort.
    """

    seed: int
    patient: int

    def rng(self, purpose: str) -> np.random.Generator:
        """The stream of one purpose, from its beginning.

        Args:
            purpose: Any word.

        Returns:
            A generator; the same word gives the same numbers.
        """
        digest = sha256(f"{self.seed}/{self.patient}/{purpose}".encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))

    def uid(self, what: str) -> UID:
        """A DICOM UID made from a UUID (PS3.5 B.2), as reproducible as the numbers.

        Args:
            what: Names the thing, such as "study".

        Returns:
            "2.25." and a number.
        """
        made = uuid.uuid5(NAMESPACE, f"{self.seed}/{self.patient}/{what}")
        return UID(f"2.25.{made.int}")
