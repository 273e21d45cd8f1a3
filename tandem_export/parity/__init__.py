"""Whether a bundle holds the parity level that it claims, tested on the bundle itself."""

from tandem_export.data import encode_prompts
from tandem_export.parity.chi_square import GoodnessOfFit, fit, survival
from tandem_export.parity.numeric import NEAR_TIE
from tandem_export.parity.report import Check, Report
from tandem_export.parity.trace import Divergence
from tandem_export.parity.verification import VerifyOptions, verify

__all__ = [
    "NEAR_TIE",
    "Check",
    "Divergence",
    "GoodnessOfFit",
    "Report",
    "VerifyOptions",
    "encode_prompts",
    "fit",
    "survival",
    "verify",
]
