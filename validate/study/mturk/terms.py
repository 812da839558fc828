"""What a HIT pays, who may take it and what it costs: Amazon Mechanical Turk's terms of trade.

Fees as Amazon published them: 20% of the reward, 20% more for HITs of ten or more assignments, 5% more for Masters, at
least one cent an assignment.
"""

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Any

FEE, FEE_FOR_MANY, FEE_FOR_MASTERS = Decimal("0.20"), Decimal("0.20"), Decimal("0.05")
MANY, LEAST_FEE, CENT = 10, Decimal("0.01"), Decimal("0.01")
APPROVED_RATE, APPROVED_NUMBER, LOCALE = "000000000000000000L0", "00000000000000000040", "00000000000000000071"
"""Amazon's own qualifications: share of assignments approved, number of HITs approved, place of living."""
MASTERS = {False: "2ARFPLSP75KLA8M8DH1HTEQVJT3SY6", True: "2F1QJWKUDD8XADTFD2Q0G6UTO95ALH"}
"""The Masters qualification of the sandbox (False) and of the live site (True)."""
DAY_S = 86_400


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The HIT type; ``reward`` in US dollars, as MTurk writes it."""

    reward: str = "0.10"
    masters: bool = False
    approved_percent: int = 97
    approved_hits: int = 500
    countries: tuple[str, ...] = ("US", "GB", "CA", "AU", "NZ", "IE")
    assignment_s: int = 900
    lifetime_s: int = 14 * DAY_S
    auto_approval_s: int = 3 * DAY_S

    def hit_type(self, *, live: bool) -> dict[str, Any]:
        """The parameters of create_hit_type."""
        return {
            "Title": "Which text describes the picture better?",
            "Description": "Look at one picture, compare two texts, and judge five sentences. About a minute.",
            "Keywords": "picture, image, caption, text, compare, emotion",
            "Reward": self.reward,
            "AssignmentDurationInSeconds": self.assignment_s,
            "AutoApprovalDelayInSeconds": self.auto_approval_s,
            "QualificationRequirements": self._qualifications(live=live),
        }

    def _qualifications(self, *, live: bool) -> list[dict[str, Any]]:
        wanted: list[dict[str, Any]] = [
            {
                "QualificationTypeId": LOCALE,
                "Comparator": "In",
                "LocaleValues": [{"Country": country} for country in self.countries],
            }
        ]
        if live:
            # nobody has a record in the sandbox
            for name, least in ((APPROVED_RATE, self.approved_percent), (APPROVED_NUMBER, self.approved_hits)):
                wanted.append(
                    {"QualificationTypeId": name, "Comparator": "GreaterThanOrEqualTo", "IntegerValues": [least]}
                )
        if self.masters:
            wanted.append({"QualificationTypeId": MASTERS[live], "Comparator": "Exists"})
        return [{**one, "ActionsGuarded": "DiscoverPreviewAndAccept"} for one in wanted]


def compute_assignment_cost(terms: Terms, assignments: int) -> Decimal:
    """Dollars for one answer, fee included, of a HIT that so many workers answer."""
    reward = Decimal(terms.reward)
    share = FEE + (FEE_FOR_MANY if assignments >= MANY else 0) + (FEE_FOR_MASTERS if terms.masters else 0)
    return reward + max(LEAST_FEE, reward * share)


def compute_cost(terms: Terms, hits: int, assignments: int) -> Decimal:
    """Dollars for the whole study, rounded up to the cent."""
    return (hits * assignments * compute_assignment_cost(terms, assignments)).quantize(CENT, ROUND_UP)
