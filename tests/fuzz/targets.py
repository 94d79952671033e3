"""All targets, by name."""

import targets_checkout
import targets_jobs
import targets_machine
import targets_masks
from fuzzing import TARGETS

__all__ = ["TARGETS"]
_ = (targets_checkout, targets_jobs, targets_machine, targets_masks)
