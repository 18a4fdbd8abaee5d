"""The settings of config.yaml: scores, evaluation, downloads and figures."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from unsmooth.config.errors import suggestion
from unsmooth.config.specs.base import Fraction, PositiveFloat, PositiveInt, Seed, Spec
from unsmooth.data.sources import SOURCES
from unsmooth.registry.scores import MAIN_SCORES, available_scores

TRUSTED = 0.2  # coverage of the operating point of tables and figures

if TYPE_CHECKING:
    ScoreName = str
else:
    ScoreName = Literal[available_scores("logits")]


class Evaluation(Spec):
    """Metrics, intervals and curves on the test split."""

    risk_at_coverage: list[Fraction] = Field([0.1, 0.2, 0.5, 0.8], description="operating points, fraction accepted")
    coverage_at_risk: list[Fraction] = Field([0.01, 0.05], description="operating points, selective risk")
    ece_bins: PositiveInt = Field(15, description="equal-width confidence bins")
    reliability_bins: PositiveInt = Field(25, description="equal-width confidence bins of the reliability diagrams")
    bootstrap_replicates: Annotated[int, Field(ge=100)] = Field(1000, description="resamples of the test split")
    bootstrap_seed: Seed = Field(0, description="the resamples are the same in every cell, so differences are paired")
    curve_points: Annotated[int, Field(ge=10)] = Field(500, description="points kept of each risk-coverage curve")

    def _faults(self) -> Iterator[str]:
        if TRUSTED not in self.risk_at_coverage:
            yield f"risk_at_coverage must contain {TRUSTED}, which tables and figures compare"


class Downloads(Spec):
    """Sources of archives; the expected content is fixed by checksums."""

    mirrors: dict[str, str] = Field({}, description="URL prefix to its replacement; the original is tried last")
    folders: dict[str, str] = Field({}, description="source to a local folder with its archives, or unpacked")
    checksums: dict[str, Annotated[str, StringConstraints(pattern="^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})$")]] = Field(
        {}, description="repacked archive of a mirror to its digest: md5:... or sha256:..."
    )

    def _faults(self) -> Iterator[str]:
        archives = [archive.file for source in SOURCES.values() for archive in source.archives]
        for what, names, known in (("folders", self.folders, [*SOURCES]), ("checksums", self.checksums, archives)):
            for unknown in sorted(set(names) - set(known)):
                yield f"{what}: there is no {unknown!r}{suggestion(unknown, known)}"
        if "" in self.mirrors:
            yield "mirrors: the beginning of a URL must not be empty"


class RiskCoverageFigure(Spec):
    """Risk-coverage curves."""

    zoom_coverage: Fraction = Field(0.6, description="right panel: coverage from 0 to this")
    band: Literal["std", "minmax"] = Field("std", description="shading over seeds")


class MaxLogitFigure(Spec):
    """v_max given pi_max."""

    window: Fraction = Field(0.05, description="width of the window in pi_max")
    step: Fraction = Field(0.005, description="distance between windows")


class ExtraGradientFigure(Spec):
    """Gradient that label smoothing adds to the max logit, against the probability of error."""

    bins: PositiveInt = Field(15, description="bins of P_error: equal widths where exact, equal counts where estimated")


class Figures(Spec):
    """Settings of the figures; an edit redraws the figures concerned."""

    width: PositiveFloat = Field(7.0, description="inches, of the figures that span two columns")
    risk_coverage: RiskCoverageFigure = Field(RiskCoverageFigure(), description="risk-coverage curves")
    max_logit: MaxLogitFigure = Field(MaxLogitFigure(), description="max logit given max probability")
    extra_gradient: ExtraGradientFigure = Field(ExtraGradientFigure(), description="gradient added by smoothing")


class Config(Spec):
    """config.yaml: selected experiments, scores, evaluation and figures."""

    experiments: Annotated[list[str], Field(min_length=1, description="names in experiments/, or paths of YAML files")]
    scores: Annotated[list[ScoreName], Field(min_length=1, description="confidence scores")]
    evaluation: Evaluation = Field(Evaluation(), description="metrics, intervals and curves on the test split")
    downloads: Downloads = Field(Downloads(), description="where archives come from")
    figures: Figures = Field(Figures(), description="settings of the figures")

    @field_validator("scores")
    @classmethod
    def _main_scores_present(cls, value: list[ScoreName]) -> list[ScoreName]:
        if missing := [name for name in MAIN_SCORES if name not in value]:
            raise ValueError(f"must contain {', '.join(missing)}, which tables and figures compare")
        if len(set(value)) < len(value):
            raise ValueError(f"must not repeat a score, got {', '.join(value)}")
        return value

    def setting(self, name: str) -> Any:
        """Return a part of the configuration as plain data; `figures.width` names a nested one."""
        value: Any = self.model_dump(mode="json")
        for key in name.split("."):
            value = value[key]
        return value
