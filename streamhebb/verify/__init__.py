"""Replays reference vectors of the published implementation through the library's own parts."""

from streamhebb.verify.cases import CaseResult, Difference, Summary, format_line
from streamhebb.verify.folder import verify_folder

__all__ = ["CaseResult", "Difference", "Summary", "format_line", "verify_folder"]
