"""Burst by Shopify, read by its search pages."""

from typing import Annotated

from pydantic import Field

from crawl.sites.html_site import HtmlSite, HtmlSiteSettings
from crawl.source import Policy
from moodarchive.settings import SettingScope

POLICY = Policy(
    mode="html",
    terms_url="https://burst.shopify.com/terms",
    terms_reviewed_on=None,
    ml_allowed=False,
    redistribute_allowed=False,
    says="photos are under CC0 or Burst's own licence, and the terms were not read",
)


class BurstSettings(HtmlSiteSettings):
    """How the site is asked."""

    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://burst.shopify.com"
    """Where the site lies."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ("1/3s",)

    @property
    def site_url(self) -> str:
        """Where the site lies."""
        return self.base_url


def burst(settings: BurstSettings) -> HtmlSite:
    """The adapter."""
    return HtmlSite(
        settings=settings,
        name="burst",
        policy=POLICY,
        first_path="/photos/search?q={phrase}&page={page}",
        path="/photos/search?q={phrase}&page={page}",
        links='a[href*="/photos/"]',
        photo_page="/photos/.",
        licence="burst",
        licence_url="https://burst.shopify.com/licenses/shopify-some-rights-reserved",
    )
