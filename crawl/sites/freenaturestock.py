"""Free Nature Stock, read by its search pages."""

from typing import Annotated

from pydantic import Field

from crawl.sites.html_site import HtmlSite, HtmlSiteSettings
from crawl.source import Policy
from moodarchive.settings import SettingScope

POLICY = Policy(
    mode="html",
    terms_url="https://freenaturestock.com/license/",
    terms_reviewed_on=None,
    ml_allowed=False,
    redistribute_allowed=False,
    says="photos are offered as CC0, but the site's terms were not read",
)


class FreenaturestockSettings(HtmlSiteSettings):
    """How the site is asked."""

    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://freenaturestock.com"
    """Where the site lies."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ("1/3s",)

    @property
    def site_url(self) -> str:
        """Where the site lies."""
        return self.base_url


def freenaturestock(settings: FreenaturestockSettings) -> HtmlSite:
    """The adapter."""
    return HtmlSite(
        settings=settings,
        name="freenaturestock",
        policy=POLICY,
        first_path="/?s={phrase}",
        path="/page/{page}/?s={phrase}",
        links='article a[href], a[href*="/photo/"]',
        photo_page="/photo/.",
        licence="cc0 1.0",
        licence_url="https://creativecommons.org/publicdomain/zero/1.0/",
    )
