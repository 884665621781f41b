"""Judges a compose file, as JSON on standard input, by the Compose Specification: shapes, and that what is named exists."""
import sys

from compose_spec import PyCompose

PyCompose.from_json(sys.stdin.read()).validate()
