"""Elements by Envato: a paid library, read by its search pages."""

from datetime import date
from typing import Annotated

from pydantic import Field

from crawl.sites.html_site import HtmlSite, HtmlSiteSettings
from crawl.source import Policy
from moodarchive.settings import SettingScope

POLICY = Policy(
    mode="html",
    terms_url="https://elements.envato.com/license-terms",
    terms_reviewed_on=date(2026, 11, 1),
    ml_allowed=False,
    redistribute_allowed=False,
    says="the licence is paid, for one project at a time",
)


class EnvatoSettings(HtmlSiteSettings):
    """How the site is asked."""

    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://elements.envato.com"
    """Where the site lies."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ("1/3s",)

    @property
    def site_url(self) -> str:
        """Where the site lies."""
        return self.base_url


def envato(settings: EnvatoSettings) -> HtmlSite:
    """The adapter."""
    return HtmlSite(
        settings=settings,
        name="envato",
        policy=POLICY,
        first_path="/photos/{phrase}",
        path="/photos/{phrase}/pg-{page}",
        links='a[href*="-photo-"], a[href^="/"][data-testid*="title"]',
        photo_page="-photo-",
        licence="envato-elements",
        licence_url="https://elements.envato.com/license-terms",
    )
