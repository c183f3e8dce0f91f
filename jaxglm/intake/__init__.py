"""From what the user gives to rows that a fit reads, at fit and again at prediction."""

from jaxglm.intake.arrays import ArrayIntake
from jaxglm.intake.beside import Beside
from jaxglm.intake.formula import FormulaIntake

__all__ = ["ArrayIntake", "Beside", "FormulaIntake"]
