"""What a served study gains for a panel or an open invitation: its flow, its doors, and the addresses to give out."""

from validate.study.design.study import StudyDesign
from validate.study.page.ledger import Ledger
from validate.study.page.questionnaire import Questionnaire
from validate.study.page.serve import Extension
from validate.study.panel.doors import open_door, panel_door, progress_door
from validate.study.panel.flow import PanelFlow
from validate.study.panel.identity import Hasher
from validate.study.panel.participants import Participants
from validate.study.panel.settings import PanelSettings

_MINUTE = 60.0


def extend_for_panel(
    ledger: Ledger,
    address: str,
    questions: Questionnaire,
    *,
    design: StudyDesign,
    settings: PanelSettings,
    hasher: Hasher,
) -> Extension:
    """Participants come by the study link, and go the panel's way."""
    participants = Participants(
        ledger, places=settings.places, idle=_MINUTE * settings.idle_minutes, closes=settings.closing_time()
    )
    flow = PanelFlow(questions, ledger, participants, settings, design.seed)
    doors = (
        panel_door(participants, settings, hasher),
        progress_door(participants, ledger, questions, settings),
    )
    lines = (
        f"study link: {study_link(settings, settings.study_url or address)}",
        f"progress: {address}/progress/{participants.key('progress')}",
    )
    return Extension(flow=flow, doors=doors, lines=lines)


def extend_for_guests(
    ledger: Ledger, address: str, questions: Questionnaire, *, most: int, closes: float = float("inf")
) -> Extension:
    """Anybody with the invitation gets a link of their own, up to ``most`` of them, until it closes."""
    participants = Participants(ledger, places=0, idle=0.0, closes=closes)
    doors = (open_door(participants, most), progress_door(participants, ledger, questions, None))
    lines = (
        f"invitation for {most}: {address}/open/{participants.key('open')}",
        f"progress: {address}/progress/{participants.key('progress')}",
    )
    return Extension(doors=doors, lines=lines)


def study_link(settings: PanelSettings, address: str) -> str:
    """The address that the panel sends participants to; what stands in braces it fills in."""
    names = (settings.participant_parameter, settings.study_parameter, settings.session_parameter)
    given = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
    query = "&".join(f"{name}={{{{%{value}%}}}}" for name, value in zip(names, given, strict=True))
    return f"{address.rstrip('/')}/join?{query}"
